"""An X-ray adds up: energies to the mean square, corrections to what the strength says."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.engine.record.bands import FIELDS, RINGS, Bands, bands, cut_ring, ring_shares
from sd3demo.engine.record.recorder_context import RecorderContext
from sd3demo.engine.record.xray import XRayRecorder, ring_energies
from sd3demo.flow.exact import Gaussian
from sd3demo.flow.extrapolation.lowpass import dct, haar
from sd3demo.flow.extrapolation.projection import STRENGTHS, projected
from sd3demo.flow.grids import time_grid
from sd3demo.flow.solvers import SOLVERS

SIDE, STEPS = 32, 6
GRID = tuple(float(t) for t in time_grid(STEPS, 2))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def xrayed(strength: str, low_pass: object = partial(dct, cutoff=0.5), solver: str = "euler") -> Bands:
    """An X-ray of a projected run of a model that knows its answer, drawn to something else."""
    data = Gaussian(noise(4, SIDE, SIDE, seed=1), 0.5)
    field = projected(
        data.velocity,
        noise(1, 4, SIDE, SIDE, seed=2),
        low_pass=low_pass,
        strength=STRENGTHS[strength],
        watch=(recorder := XRayRecorder(_nothing())).correction,
    )
    for step in SOLVERS[solver](field, noise(1, 4, SIDE, SIDE), GRID):
        recorder(step)
    return bands(recorder.result(), np.array(GRID))


def _nothing() -> RecorderContext:
    return RecorderContext(lambda latent: ())


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (17, 40)])
def test_the_rings_of_a_latent_add_up_to_its_mean_square(size: tuple[int, int]) -> None:
    x = noise(2, 4, *size)
    energies = ring_energies(x)
    assert energies.shape == (RINGS, 2)
    assert torch.allclose(energies.sum(0), x.square().mean((1, 2, 3)), rtol=1e-5)
    assert ring_shares(*size).sum() == pytest.approx(1)


def test_white_noise_has_the_same_power_in_every_ring() -> None:
    x = noise(1, 16, 128, 128)
    energies = ring_energies(x).T.numpy().astype(np.float64)
    found = Bands({"v": energies}, np.zeros((1, 2))).density("v", (128, 128))
    assert np.allclose(found, 1, atol=0.15)


def test_a_constant_is_all_in_the_first_ring() -> None:
    energies = ring_energies(torch.full((1, 3, 24, 24), 2.0))[:, 0]
    assert energies[0] == pytest.approx(4)
    assert energies[1:].sum() < 1e-9


@pytest.mark.parametrize("solver", ["euler", "heun", "ab2"])
def test_nothing_is_corrected_where_the_strength_is_off(solver: str) -> None:
    found = xrayed("off", solver=solver)
    assert found.steps == STEPS
    assert not found.strength.any()
    assert not found.energy["correction"].any()
    assert not found.replaced(2).any()
    assert np.allclose(found.closed(2), 0)


def test_a_constant_strength_through_an_ideal_low_pass_closes_the_whole_gap() -> None:
    found = xrayed("constant")
    assert np.allclose(found.strength, [0, 1])
    assert np.allclose(found.closed(2), 1, atol=1e-4)
    low, gap = found.energy["moved"][:, : cut_ring(2)], found.energy["gap"][:, : cut_ring(2)]
    assert np.allclose(low, gap, rtol=1e-3)  # all of the gap is what the prediction was moved by


def test_the_papers_strength_overshoots_at_noise_and_falls_short_at_data() -> None:
    found = xrayed("paper")
    alpha = found.strength[:, 1]
    assert np.allclose(alpha, 1 - 0.5 * np.cos(np.pi * np.array(GRID[:-1])))
    assert np.allclose(found.closed(2), 1 - np.abs(1 - alpha), atol=1e-4)
    assert np.allclose(found.replaced(2), alpha**2 * _share(found), rtol=1e-3)


def _share(found: Bands) -> np.ndarray:
    """The low band's gap over its energy."""
    return (found.norm("gap", 2, low=True) / found.norm("denoised", 2, low=True)) ** 2


def test_haar_corrects_beyond_the_native_frequencies_and_the_ideal_low_pass_hardly() -> None:
    beyond = {
        name: xrayed("constant", low_pass).norm("correction", 2, low=False).mean()
        for name, low_pass in {"haar": partial(haar, level=1), "dct": partial(dct, cutoff=0.5)}.items()
    }
    low = xrayed("constant").norm("correction", 2, low=True).mean()
    assert 0 < beyond["dct"] < 0.6 * low  # what is left are the corners of the square that it keeps
    assert beyond["haar"] > 0.2 * low


def test_a_run_that_nothing_corrects_has_a_velocity_and_no_target() -> None:
    data, recorder = Gaussian(noise(4, SIDE, SIDE, seed=1), 0.5), XRayRecorder(_nothing())
    for step in SOLVERS["euler"](data.velocity, noise(2, 4, SIDE, SIDE), GRID):
        recorder(step)
    record = recorder.result()
    assert record.shape == (STEPS, 2 + len(FIELDS) * RINGS, 2)
    found = bands(record, np.array(GRID), picture=1)
    assert (found.norm("v", 2, low=True) > 0).all()
    assert not found.energy["correction"].any()
    assert np.isnan(found.energy["target"]).all()
    assert np.array_equal(found.energy["denoised"], found.energy["corrected"])


def test_the_pictures_of_a_batch_are_told_apart() -> None:
    x = torch.stack([torch.zeros(4, SIDE, SIDE), noise(4, SIDE, SIDE)])
    assert ring_energies(x)[:, 0].sum() == 0
    assert ring_energies(x)[:, 1].sum() == pytest.approx(1, abs=0.1)
