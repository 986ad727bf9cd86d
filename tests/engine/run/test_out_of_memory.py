"""Memory that runs out, at any phase and on any device: once it is made do with less, twice it is said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.catalogue import EncoderInput, find
from sd3demo.engine import Budget, Engine, Plan, plan
from sd3demo.engine.events import ArmFinished, Event, Finished
from sd3demo.errors import OutOfMemory
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.exact import EXACT, Exact
from sd3demo.models.protocol import Conditioning, Dials, FlowModel, Rows
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, method_arms
from tests.engine.runs import HERE, exactly

Phase = Literal["encode", "denoise", "decode"]
PHASES: tuple[Phase, ...] = ("encode", "denoise", "decode")
ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
)


@dataclass
class Shortage:
    """Raises an error the first `times` that a phase asks for memory."""

    phase: Phase
    error: Exception
    times: int
    asked: int = 0

    def __call__(self, phase: Phase) -> None:
        if phase == self.phase:
            self.asked += 1
            if self.asked <= self.times:
                raise self.error


@dataclass(frozen=True, eq=False)
class Short(Exact):
    """The exact model with a shortage."""

    shortage: Shortage = field(default_factory=lambda: Shortage("encode", MemoryError(), 0))

    def encode(self, inputs: Sequence[EncoderInput]) -> Conditioning:
        self.shortage("encode")
        return super().encode(inputs)

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        rows, calls = super().network(texts, dials), list[int]()

        def short(x: Tensor, at: Sequence[At], texts: Sequence[int], /, *, skip: bool = False) -> Tensor:
            calls.append(1)
            if len(calls) == 3:
                self.shortage("denoise")
            return rows(x, at, texts, skip=skip)

        return short

    def to_image(self, latent: Tensor) -> Tensor:
        self.shortage("decode")
        return super().to_image(latent)


def engine(shortage: Shortage) -> Engine:
    return Engine(loader=lambda spec, dtype, components: Short(shortage=shortage))


def asked(**settings: object) -> Plan:
    return plan(exactly(steps=4, **settings), EXACT, HERE)


def end(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_once_the_run_begins_again_and_ends_as_if_nothing_had_been(phase: Phase, error: Exception) -> None:
    short = engine(Shortage(phase, error, 1))
    found = end(list(short.run(asked())))
    wanted = end(list(engine(Shortage(phase, error, 0)).run(asked())))
    assert np.array_equal(found.pictures[0], wanted.pictures[0])
    assert found.calls == wanted.calls


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_twice_it_is_said_and_the_next_run_is_right(phase: Phase, error: Exception) -> None:
    short = engine(Shortage(phase, error, 2))
    with pytest.raises(OutOfMemory, match=r"ran out of memory .*; try precision bfloat16, a smaller picture"):
        list(short.run(asked()))
    assert short.budget(HERE) == HERE  # nothing is held
    wanted = end(list(Engine(loader=lambda *_: Exact()).run(asked(seed=3))))
    assert np.array_equal(end(list(short.run(asked(seed=3)))).pictures[0], wanted.pictures[0])


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("times", [1, *(pytest.param(times, marks=pytest.mark.slow) for times in (2, 3))])
def test_runs_that_go_together_are_tried_one_by_one(phase: Phase, times: int) -> None:
    plans = [asked(seed=seed) for seed in range(3)]
    short = engine(Shortage(phase, MemoryError(), times))
    if times == 1:
        ended = {each.run for each in short.run_batch(plans) if isinstance(each.event, Finished)}
        assert ended == {0, 1, 2}
    else:
        with pytest.raises(OutOfMemory):
            list(short.run_batch(plans))
    list(short.run(asked()))
    assert isinstance(list(short.run(asked()))[-1], Finished)


def test_a_picture_that_was_told_of_stays_and_is_not_made_again() -> None:
    values = {"prompt": "red", "model": "exact", "cfg": 1, "shift": 1, "steps": 3, "scale": 2}
    request = Extrapolation.model_validate(values)
    made = plan(request, EXACT, HERE, arms=method_arms(request, COMPARED))
    told: list[ArmFinished] = []
    shortage = Shortage("decode", MemoryError(), 0)
    short = engine(shortage)

    def go() -> None:
        for event in short.run(made):
            if isinstance(event, ArmFinished):
                told.append(event)
                shortage.asked, shortage.times = 0, 1

    with pytest.raises(OutOfMemory):
        go()
    assert [each.arm for each in told] == ["native", "upsample"]  # and not the one that was to be decoded
    assert shortage.asked == 1


def test_a_gpu_has_the_next_placement_and_then_none() -> None:
    spec = find("sd3-medium")
    request = Request(prompt="a red circle", model="sd3-medium", placement="by-model")
    on_gpu = plan(request, spec, Budget("cuda", 20 * 2**30))
    lighter = Engine()._lighter(on_gpu, torch.OutOfMemoryError("no"))
    assert (on_gpu.placement, lighter.placement) == ("by-model", "streamed")
    with pytest.raises(OutOfMemory, match="with the placement streamed"):
        Engine()._lighter(lighter, torch.OutOfMemoryError("no"))


def test_a_cpu_does_without_the_text_encoders_once_the_texts_are_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[frozenset[str]] = []
    shortage = Shortage("decode", MemoryError(), 1)

    def loader(spec: object, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
        loaded.append(components)
        model = load(spec, dtype, components)  # type: ignore[arg-type]
        to_image: Callable[[Tensor], Tensor] = model.to_image

        def short(latent: Tensor) -> Tensor:
            shortage("decode")
            return to_image(latent)

        monkeypatch.setattr(type(model), "to_image", lambda self, latent: short(latent), raising=True)
        return model

    made = plan(Request(prompt="a red circle", steps=2), find("tiny"), HERE)
    engine = Engine(loader=loader)
    original = end(list(Engine().run(made)))
    found = end(list(engine.run(made)))
    assert [sorted(each) for each in loaded][1:] == [["transformer", "vae"]]
    assert np.array_equal(found.pictures[0], original.pictures[0])
