"""What is plotted is what the papers' formulas say, to the last digits."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from sd3demo.flow.densities import DENSITIES, Density, LogitNormal, Mode, Shifted, Uniform
from sd3demo.flow.grids import time_grid
from sd3demo.plots.chart import Chart, Numbers
from sd3demo.plots.densities import in_log_snr, log_snr_pdfs, mass, masses, pdfs, shifted_pdfs
from sd3demo.plots.loss_weights import weights

every_density = pytest.mark.parametrize("name", DENSITIES)
GREEN = {"one": "green"}


def curve(chart: Chart, name: str) -> tuple[Numbers, Numbers]:
    (found,) = [one for one in chart.curves if one.name == name]
    return found.x, found.y


def area(x: Numbers, y: Numbers) -> float:
    return float(np.trapezoid(y, x))


@every_density
def test_a_density_and_the_histogram_of_its_times_have_area_one(name: str) -> None:
    chart = pdfs({"one": DENSITIES[name]}, GREEN)
    assert area(*curve(chart, "one")) == pytest.approx(1, abs=2e-3)
    middles, heights = curve(chart, "one, sampled")
    assert heights.mean() == pytest.approx(1)
    expected = DENSITIES[name].pdf(torch.from_numpy(middles)).numpy()
    assert np.abs(heights - expected).mean() < 0.12  # 100 times to a bar


def test_a_shifted_logit_normal_is_the_logit_normal_of_another_location() -> None:
    t, shifted = curve(shifted_pdfs({"one": LogitNormal(0.3, 0.8)}, 3.0, GREEN), "one")
    expected = LogitNormal(0.3 + math.log(3), 0.8).pdf(torch.from_numpy(t))
    np.testing.assert_allclose(shifted, expected.numpy(), rtol=1e-9, atol=1e-12)


@every_density
def test_in_log_snr_a_shift_is_a_translation_by_minus_2_log_alpha(name: str) -> None:
    density, log_snr = DENSITIES[name], torch.linspace(-8, 8, 33, dtype=torch.float64)
    moved = in_log_snr(Shifted(density, 3.0), log_snr - 2 * math.log(3))
    np.testing.assert_allclose(moved, in_log_snr(density, log_snr), rtol=1e-8)


def test_a_logit_normal_is_normal_in_log_snr() -> None:
    log_snr, y = curve(log_snr_pdfs({"one": LogitNormal(0.5, 0.7)}, 1.0, GREEN), "one")
    expected = np.exp(-0.5 * ((log_snr + 1.0) / 1.4) ** 2) / (1.4 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 5, 28])
@pytest.mark.parametrize("convention", ["uniform", "diffusers", "linear"])
@every_density
def test_the_steps_share_all_of_the_training(name: str, convention: str, steps: int) -> None:
    grid = time_grid(steps, 3.0, convention).tolist()
    _, shares = curve(masses({"one": DENSITIES[name]}, grid, GREEN, note=""), "one")
    assert len(shares) == steps
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(100)


@every_density
def test_sampler_and_training_shifted_alike_share_as_without_a_shift(name: str) -> None:
    density = DENSITIES[name]
    plain = mass(density, torch.from_numpy(time_grid(12)))
    both = mass(Shifted(density, 3.0), torch.from_numpy(time_grid(12, 3.0)))
    np.testing.assert_allclose(both, plain, atol=1e-12)


def test_uniform_training_fills_a_step_as_long_as_it_is() -> None:
    grid = time_grid(9, 2.0).tolist()
    expected = [100 * (t - t_next) for t, t_next in pairwise(grid)]
    _, shares = curve(masses({"one": Uniform()}, grid, GREEN, note=""), "one")
    np.testing.assert_allclose(shares, expected)


@every_density
def test_the_weight_of_a_density_is_that_of_eq_18(name: str) -> None:
    density: Density = DENSITIES[name]
    log_snr, weight = curve(weights({"one": density}, GREEN), "one")
    t = 1 / (1 + np.exp(log_snr / 2))
    expected = density.pdf(torch.from_numpy(t)).numpy() * t / (1 - t)
    np.testing.assert_allclose(weight, expected, rtol=1e-9)


def test_uniform_times_are_the_weight_of_the_cosine_paths_v() -> None:
    chart = weights({"one": Uniform()}, GREEN)
    for name in ("one", "cosine, v"):
        log_snr, weight = curve(chart, name)
        np.testing.assert_allclose(weight, np.exp(-log_snr / 2), rtol=1e-9)


def test_a_density_that_is_infinite_somewhere_leaves_an_axis_to_read() -> None:
    for s in (-1.0, 2 / (math.pi - 2)):
        chart = pdfs({"one": Mode(s)}, GREEN)
        assert chart.y.shown is not None
        assert 1 < chart.y.shown[1] < 40
