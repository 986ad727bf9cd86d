"""FLUX.1's modulations that wait on the CPU: the same velocities, and 27% of the weights elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.catalogue import CATALOGUE, FluxShape, find, read_folder
from sd3demo.engine import Budget, Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.memory import GIB
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.flux.adapter import Flux
from sd3demo.models.flux.modulation import evict_modulations, is_evicted
from sd3demo.models.protocol import Dials
from sd3demo.settings import Request
from tests.engine.runs import HERE
from tests.models.inputs import inputs

Checkpoint = Callable[..., Path]
TIMES = (0.9, 0.6, 0.2)


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def loaded(checkpoint: Checkpoint, kind: str, *, evicted: bool) -> Flux:
    model = cast(Flux, load(read_folder(checkpoint(kind)), torch.float32))
    if evicted:
        evict_modulations(model.transformer)
    assert is_evicted(model.transformer) == evicted
    return model


def asked(model: Flux, times: tuple[float, ...], at: tuple[float, ...]) -> Tensor:
    texts = [model.encode(inputs(model.spec, text)) for text in ("a red circle", "a blue square")]
    x = torch.randn((len(at), 16, 12, 8), generator=torch.Generator().manual_seed(5))
    rows = model.network(texts, Dials(times))
    return rows(x, [At(t, 0, 4) for t in at], [k % 2 for k in range(len(at))])


@pytest.mark.parametrize("at", [(0.9, 0.9), (0.9, 0.2, 0.6), (0.5, 0.5)], ids=["one", "several", "unknown"])
@pytest.mark.parametrize("kind", ["flux-dev", "flux-schnell"])
def test_what_is_known_ahead_is_what_each_step_computes(
    checkpoint: Checkpoint, kind: str, at: tuple[float, ...]
) -> None:
    stock = asked(loaded(checkpoint, kind, evicted=False), TIMES, at)
    found = asked(loaded(checkpoint, kind, evicted=True), TIMES, at)
    torch.testing.assert_close(found, stock, rtol=0, atol=1e-5)


def test_the_layers_are_a_share_of_the_parameters_and_stay_where_they_are(checkpoint: Checkpoint) -> None:
    whole, less = (loaded(checkpoint, "flux-dev", evicted=evicted).transformer for evicted in (False, True))
    counts = [sum(each.numel() for each in network.parameters()) for network in (whole, less)]
    shape = cast(FluxShape, read_folder(checkpoint("flux-dev")).network)
    assert counts[0] - counts[1] == shape.modulations
    less.to("meta")
    layers = [block.norm1.linear._layer[0] for block in less.transformer_blocks]
    assert {each.weight.device.type for each in layers} == {"cpu"}


def test_a_run_whose_parts_come_and_go_makes_the_same_picture(checkpoint: Checkpoint) -> None:
    folder = str(checkpoint("flux-dev"))
    pictures = []
    for placement in ("resident", "by-model", "by-model"):
        values = {"prompt": "a red circle", "model": folder, "steps": 3, "width": 64, "height": 64}
        request = Request.model_validate(values | {"placement": placement, "cfg": 2, "negative": "blue"})
        *_, last = Engine().run(plan(request, find(folder), HERE))
        assert isinstance(last, Finished)
        pictures.append(last.pictures[0].astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert np.array_equal(pictures[1], pictures[2])


def test_a_plan_counts_what_is_on_the_device() -> None:
    """3,228,567,552 of 11,901,408,320 parameters: 23.8 GB become 17.3."""
    spec = CATALOGUE["flux-dev"]
    assert cast(FluxShape, spec.network).modulations == 3_228_567_552
    gpu = Budget("cuda", 80 * GIB, 2e14)
    found = {
        placement: plan(
            Request(prompt="a", model="flux-dev", placement=placement),  # type: ignore[arg-type]
            spec,
            gpu,
        ).memory["flow"]
        for placement in ("resident", "by-model")
    }
    text = sum(spec.components[name].parameters for name in ("text_encoder", "text_encoder_2", "vae"))
    gone = 2 * (3_228_567_552 + text)
    assert found["resident"] - found["by-model"] == pytest.approx(1.1 * gone, rel=1e-6)
