"""Parts are read as they are asked for and given back; a family needs no line of the engine."""

import gc
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sd3demo import models
from sd3demo.catalogue import Adapter, EncoderInput, ModelSpec, find, fingerprint
from sd3demo.engine import Budget, Engine, plan
from sd3demo.engine.events import Finished, Loading
from sd3demo.engine.run.engine import is_out_of_memory
from sd3demo.errors import Failure
from sd3demo.models.exact import EXACT, Exact
from sd3demo.settings import Request, families
from tests.engine.runs import HERE, exactly, run


def asked(folder: Path, **settings: object) -> Request:
    return Request.model_validate({"prompt": "a red circle", "model": str(folder), "steps": 2, **settings})


def loadings(engine: Engine, request: Request) -> tuple[int, Finished]:
    """Bytes that were said to be read, and the result."""
    ran = run(request, engine=engine)
    return sum(event.bytes for event in ran.events if isinstance(event, Loading)), ran.finished


@pytest.mark.parametrize("placement", ["resident", "by-model", "streamed"])
@pytest.mark.parametrize("off", ["zeros", "omit"])
def test_t5_is_read_when_it_is_first_asked_for(
    checkpoint: Callable[..., Path], placement: str, off: str
) -> None:
    folder = checkpoint("sd3-medium")
    spec, engine = find(str(folder)), Engine()
    t5 = spec.components["text_encoder_3"].bytes
    total = sum(size.bytes for size in spec.components.values())
    without, first = loadings(engine, asked(folder, t5=off, placement=placement))
    assert without == total - t5
    later, second = loadings(engine, asked(folder, placement=placement))
    assert later == t5
    again, third = loadings(engine, asked(folder, t5=off, placement=placement))
    assert again == 0
    _, whole = loadings(Engine(), asked(folder, placement=placement))
    assert np.array_equal(second.pictures[0], whole.pictures[0])
    assert np.array_equal(first.pictures[0], third.pictures[0])
    assert not np.array_equal(first.pictures[0], second.pictures[0])


def test_what_is_held_counts_as_free_and_goes_when_it_is_dropped(checkpoint: Callable[..., Path]) -> None:
    folder, engine = checkpoint("sd3-medium"), Engine()
    free = Budget("cpu", 2**30)
    assert engine.budget(free) == free
    request = asked(folder)
    done = plan(request, find(str(folder)), free)
    list(engine.run(done))
    held = engine.budget(free)
    assert held.held == done.model_key
    with engine.hold(done) as loaded:
        weights = sum(
            p.numel() * p.element_size() for m in loaded.model.parts.values() for p in m.parameters()
        )
        transformer = weakref.ref(loaded.model.parts["flow"])
    assert held.memory - free.memory >= weights
    assert engine.budget(Budget("cuda", 2**30)) == Budget("cuda", 2**30)  # of another device
    del loaded
    engine.drop()
    gc.collect()
    assert engine.budget(free) == free
    assert transformer() is None


def test_another_model_leaves_nothing_of_the_one_before(checkpoint: Callable[..., Path]) -> None:
    engine = Engine()
    first = asked(checkpoint("sd3-medium"))
    list(engine.run(plan(first, find(first.model), HERE)))
    with engine.hold(plan(first, find(first.model), HERE)) as loaded:
        transformer = weakref.ref(loaded.model.parts["flow"])
    del loaded
    run(asked(checkpoint("sd3.5-medium")), engine=engine)
    gc.collect()
    assert transformer() is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_has_a_sentence_on_every_device(error: Exception) -> None:
    class Large(Exact):
        def to_image(self, latent: Tensor) -> Tensor:
            raise error

    assert is_out_of_memory(error)
    engine = Engine(loader=lambda spec, dtype, components: Large())
    with pytest.raises(Failure, match="ran out of memory"):
        run(exactly(), EXACT, engine=engine)
    assert engine.budget(HERE) == HERE


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    class Broken(Exact):
        def to_image(self, latent: Tensor) -> Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(exactly(), EXACT, engine=Engine(loader=lambda spec, dtype, components: Broken()))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_decoded_picture_that_is_not_finite_is_a_failure(bad: float) -> None:
    class Damaged(Exact):
        def to_image(self, latent: Tensor) -> Tensor:
            return latent * bad

    with pytest.raises(Failure, match="decoded picture is not finite"):
        run(exactly(), EXACT, engine=Engine(loader=lambda spec, dtype, components: Damaged()))


def test_an_adapter_makes_another_model_of_the_same_files(checkpoint: Callable[..., Path]) -> None:
    spec = find(str(checkpoint("sd3-medium")))
    adapted = replace(spec, adapters=(Adapter("a" * 64, 0.5),))
    stronger = replace(spec, adapters=(Adapter("a" * 64, 1.0),))
    assert len({fingerprint(each) for each in (spec, adapted, stronger)}) == 3
    request = asked(Path(spec.folder))
    keys = {plan(request, each, HERE).model_key for each in (spec, adapted, stronger)}
    assert len(keys) == 3


@dataclass(frozen=True)
class Hue:
    """A text of the toy family: one number for each word that it reads."""

    value: float
    encoder_calls: int = 0
    length: int = 3

    def cached(self) -> "Hue":
        return replace(self, encoder_calls=0)


class ToyFamily:
    """A family that nothing here was written for: its own conditioning, one encoder, no autoencoder."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.parts: Mapping[str, nn.Module] = {}
        self.components: frozenset[str] = frozenset()

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        return {}

    def encode(self, inputs: tuple[EncoderInput, ...]) -> Hue:
        return Hue(len(inputs[0].text) / 10, encoder_calls=1)

    def network(self, texts: Sequence[Hue], dials: object) -> Callable[..., Tensor]:
        def rows(x: Tensor, at: Sequence[object], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
            goals = torch.tensor([texts[number].value for number in numbers])[:, None, None, None]
            times = torch.tensor([stands.t for stands in at])[:, None, None, None]
            return (x - goals) / times  # the flow to a picture of one colour

        return rows

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return image

    def to_image(self, latent: Tensor) -> Tensor:
        return latent


def test_a_family_is_added_without_touching_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class ToyOptions(families.FamilyOptions):
        pass

    monkeypatch.setitem(families.OPTIONS, "toy", ToyOptions)
    monkeypatch.setitem(models.FAMILIES, "toy", lambda spec, dtype, components: ToyFamily(spec))
    spec = replace(EXACT, name="toy", family="toy")
    request = Request(prompt="12345", model="toy", steps=5, cfg=2, negative="1")
    ran = run(request, spec)
    expected = 0.1 + 2 * (0.5 - 0.1)  # guidance moves the end as it moves the velocity
    assert torch.allclose(ran.latents, torch.full_like(ran.latents, expected), atol=1e-5)
    assert ran.finished.encoder_calls == 2
    both = Engine()
    ends = [of.event for of in both.run_batch([ran.plan, plan(request, spec, HERE)])]
    assert sum(isinstance(event, Finished) for event in ends) == 2
