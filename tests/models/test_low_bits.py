"""T5 and Gemma in fewer bits on small random checkpoints: what they give, weigh, and do to the picture."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sd3demo.catalogue import LargeEncoder, ModelSpec, find
from sd3demo.engine import Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.costs import component_bytes
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.run.offload import bytes_held, place, stored, text_encoders_to_place
from sd3demo.models import load
from sd3demo.models.protocol import FlowModel
from sd3demo.settings import Request
from sd3demo.studies.grid.grid_plan import Grid, GridAxis, GridPicture, plan_grid
from sd3demo.studies.grid.grid_plan import run as run_grid
from tests.engine.runs import HERE

KINDS = ("sd3.5-medium", "flux-dev", "lumina-next", "lumina2")
Checkpoint = Callable[..., Path]


def needs(encoder: str) -> None:
    if "int8" in encoder:
        pytest.importorskip("torchao", reason="needs torchao, the extra int8")


def planned(folder: Path, encoder: str = "auto", **settings: object) -> Plan:
    values = {"prompt": "a red circle", "model": str(folder), "steps": 4, "seed": 3}
    sides = {"width": 64, "height": 64, "large_encoder": encoder}
    return plan(Request.model_validate(values | sides | settings), find(str(folder)), HERE)


def picture(engine: Engine, made: Plan) -> tuple[np.ndarray, Finished]:
    *_, last = engine.run(made)
    assert isinstance(last, Finished)
    return last.pictures[0].astype(int), last


def large_of(model: FlowModel) -> nn.Module:
    loaded = [each for each in model.spec.encoders if each.folder in model.components]
    modules = dict(zip(loaded, model.parts["text"].children(), strict=True))
    (found,) = (module for encoder, module in modules.items() if encoder.large)
    return found


def prepared(folder: Path, encoder: str) -> tuple[ModelSpec, FlowModel]:
    spec = planned(folder, encoder).spec
    return spec, load(spec, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["bfloat16", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_of_the_same_noise_hardly_changes(
    checkpoint: Checkpoint, kind: str, encoder: str
) -> None:
    """On random weights; what it is on the embedded model stands in the README."""
    needs(encoder)
    engine, folder = Engine(), checkpoint(kind)
    plain, first = picture(engine, planned(folder))
    low, second = picture(engine, planned(folder, encoder))
    assert first.noise_sha256 == second.noise_sha256
    assert second.encoder_calls == first.encoder_calls > 0  # no text of the other's is taken from the cache
    apart = np.abs(low - plain)
    assert second.path_length != first.path_length
    assert apart.mean() < 4
    again, _ = picture(engine, planned(folder))
    assert np.array_equal(again, plain)


def test_a_grid_shows_what_fewer_bits_do_to_one_noise(checkpoint: Checkpoint) -> None:
    folder = checkpoint("sd3.5-medium")
    base = {"prompt": "a red circle", "model": str(folder), "steps": 2, "width": 64, "height": 64}
    grid = Grid(GridAxis("large_encoder", ("auto", "bfloat16")), GridAxis("seed", ("1", "2")))

    def asked(values: Mapping[str, object]) -> Plan:
        return plan(Request.model_validate(values), find(str(folder)), HERE)

    cells = run_grid(plan_grid(grid, base, asked), Engine().run_batch)
    found = [event for event in cells if isinstance(event, GridPicture)]
    assert len(found) == 4
    noise = {(each.plan.request.seed, each.finished.noise_sha256) for each in found}
    assert len(noise) == 2
    for each in found:
        alone, _ = picture(Engine(), each.plan)
        assert np.abs(each.finished.pictures[0].astype(int) - alone).max() <= 1


@pytest.mark.parametrize("encoder", ["auto", "bfloat16", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_weighs_what_the_plan_says(checkpoint: Checkpoint, kind: str, encoder: str) -> None:
    needs(encoder)
    made = planned(checkpoint(kind), encoder)
    module = large_of(load(made.spec, torch.float32))
    held = sum(
        part.numel() * part.element_size() for weight in module.parameters() for part in stored(weight)
    )
    (folder,) = (each.folder for each in made.spec.encoders if each.large)
    said = component_bytes(made.request, made.spec, folder)
    scales = 1.6 if encoder == "int8" else 1.0  # a row of a few dozen numbers has a scale of its own
    assert said * 0.99 <= held <= said * scales


def test_weights_in_few_bits_are_counted_as_what_they_hold(checkpoint: Checkpoint) -> None:
    needs("int8")
    folder = checkpoint("sd3.5-medium")
    sizes = [bytes_held(prepared(folder, name)[1], torch.device("cpu")) for name in ("int8", "auto")]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("kind", KINDS)
def test_only_products_are_in_few_bits(checkpoint: Checkpoint, kind: str) -> None:
    needs("int8")
    module = large_of(prepared(checkpoint(kind), "int8")[1])
    for part in module.modules():
        if isinstance(part, nn.Linear):
            assert {each.dtype for each in stored(part.weight)} >= {torch.int8}
        if isinstance(part, nn.Embedding):
            assert part.weight.dtype == torch.float32


@pytest.mark.parametrize("placement", ["by-model", "streamed"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_with_every_placement(checkpoint: Checkpoint, kind: str, placement: str) -> None:
    needs("int8")
    folder = checkpoint(kind)
    plain, _ = picture(Engine(), planned(folder, "int8"))
    placed, _ = picture(Engine(), planned(folder, "int8", placement=placement))
    assert np.abs(placed - plain).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_runs_on_the_cpu_stays_there(checkpoint: Checkpoint, kind: str) -> None:
    """The others go to a device that holds no numbers, which tells where each is."""
    spec = find(str(checkpoint(kind)))
    model = load(replace(spec, large_encoder=LargeEncoder(device="cpu")), torch.float32)
    assert large_of(model) not in text_encoders_to_place(model)
    place(model, "resident", torch.device("meta"))
    assert large_of(model).device.type == "cpu"
    assert model.parts["flow"].device.type == "meta"
    others = [each for each in model.parts["text"].children() if each is not large_of(model)]
    assert all(each.device.type == "meta" for each in others)
