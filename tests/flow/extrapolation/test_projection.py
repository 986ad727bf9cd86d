"""Projected flow: what it replaces exactly, what it leaves alone to the last bit, and its schedules."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian
from sd3demo.flow.extrapolation.lowpass import LOW_PASSES, dct, haar, low_pass_named
from sd3demo.flow.extrapolation.projection import STRENGTHS, project, projected
from sd3demo.flow.grids import time_grid
from sd3demo.flow.solvers import SOLVERS, At

SHAPE = (2, 4, 12, 10)
IDEMPOTENT = [partial(haar, level=1), partial(haar, level=2), partial(dct, cutoff=0.5)]

low_passes = pytest.mark.parametrize(
    "low_pass",
    [partial(low_pass_named, name=name, level=1, cutoff=0.5) for name in LOW_PASSES],
    ids=LOW_PASSES,
)
solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())


def latent(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def data() -> Gaussian:
    return Gaussian(latent(10)[0], 0.6)


@pytest.mark.parametrize("low_pass", IDEMPOTENT, ids=["haar 1", "haar 2", "dct"])
def test_at_strength_one_the_low_frequencies_are_the_guides(low_pass) -> None:
    denoised, guide = latent(0), latent(1)
    result = project(denoised, guide, low_pass, (0, 1))
    torch.testing.assert_close(low_pass(result), low_pass(guide))
    torch.testing.assert_close(result - low_pass(result), denoised - low_pass(denoised))


@low_passes
def test_the_prediction_becomes_that_of_the_formula(low_pass) -> None:
    denoised, guide = latent(0), latent(1)
    expected = denoised + 0.3 * (guide - denoised) + 0.5 * low_pass(guide - denoised)
    torch.testing.assert_close(project(denoised, guide, low_pass, (0.3, 0.5)), expected)


@low_passes
def test_full_strength_is_the_guide_itself(low_pass) -> None:
    denoised, guide = latent(0), latent(1)
    torch.testing.assert_close(project(denoised, guide, low_pass, (1, 0)), guide)


@low_passes
def test_no_strength_returns_the_prediction_itself(low_pass) -> None:
    denoised = latent(0)
    assert project(denoised, latent(1), low_pass, (0, 0)) is denoised


@low_passes
def test_a_prediction_that_equals_the_guide_is_left_where_it_is(low_pass) -> None:
    guide = latent(1)
    torch.testing.assert_close(project(guide, guide, low_pass, (0.4, 1.2)), guide, rtol=0, atol=0)


@low_passes
@solvers
def test_switched_off_the_run_is_the_direct_one_to_the_last_bit(solver, low_pass, data: Gaussian) -> None:
    drawn = projected(data.velocity, latent(1), low_pass=low_pass, strength=STRENGTHS["off"])
    grid = time_grid(4, 3)
    for ours, direct in zip(
        solver(drawn, latent(2), grid), solver(data.velocity, latent(2), grid), strict=True
    ):
        assert torch.equal(ours.x_next, direct.x_next)


@low_passes
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5])
def test_the_velocity_is_equation_7(low_pass, alpha: float, data: Gaussian) -> None:
    z, guide, at = latent(2), latent(1), At(0.6, 3, 10)
    drawn = projected(data.velocity, guide, low_pass=low_pass, strength=lambda t, index, count: (0, alpha))
    v = data.velocity(z, at)
    # As printed, with the sign of this project's velocity, which points from data to noise.
    expected = v + alpha / at.t * low_pass(z - at.t * v - guide)
    torch.testing.assert_close(drawn(z, at), expected)


@pytest.mark.parametrize("low_pass", IDEMPOTENT, ids=["haar 1", "haar 2", "dct"])
@solvers
def test_the_last_step_lands_on_the_guides_low_frequencies(solver, low_pass, data: Gaussian) -> None:
    guide = latent(1)
    drawn = projected(data.velocity, guide, low_pass=low_pass, strength=STRENGTHS["constant"])
    *_, step = solver(drawn, latent(2), time_grid(6, 3))
    torch.testing.assert_close(low_pass(step.x_next), low_pass(guide))
    expected = project(step.x - step.at.t * data.velocity(step.x, step.at), guide, low_pass, (0, 1))
    torch.testing.assert_close(step.x_next, expected)


def test_the_strength_is_asked_where_the_solver_stands_with_the_index_of_the_step(data: Gaussian) -> None:
    asked = []

    def strength(t: float, index: int, count: int) -> tuple[float, float]:
        asked.append(At(t, index, count))
        return 0, 1

    grid = time_grid(4, 3)
    for _ in SOLVERS["rk4"](
        projected(data.velocity, latent(1), low_pass=partial(haar, level=1), strength=strength),
        latent(2),
        grid,
    ):
        pass
    assert tuple(asked) == SOLVERS["rk4"].visits(grid)


@pytest.mark.parametrize(
    ("name", "noise", "middle", "data"),
    [
        ("paper", (0, 1.5), (0, 1), (0, 0.5)),
        ("release", (0, 1), (0, 0.5), (0, 0)),
        ("constant", (0, 1), (0, 1), (0, 1)),
        ("cosine-shift", (1, 0), (0.5, 0.5), (0, 1)),
        ("off", (0, 0), (0, 0), (0, 0)),
    ],
)
def test_a_schedule_has_its_published_values(name: str, noise, middle, data) -> None:
    found = [STRENGTHS[name](1 - index / 10, index, 10) for index in (0, 5, 10)]
    np.testing.assert_allclose(found, [noise, middle, data], atol=1e-12)


def test_the_paper_goes_by_the_time_and_the_release_by_the_step() -> None:
    by_time = {name for name in STRENGTHS if STRENGTHS[name](0.9, 3, 10) != STRENGTHS[name](0.2, 3, 10)}
    by_step = {name for name in STRENGTHS if STRENGTHS[name](0.9, 3, 10) != STRENGTHS[name](0.9, 7, 10)}
    assert by_time == {"paper"}
    assert by_step == {"release", "cosine-shift"}
    assert STRENGTHS["release"](0.5, 3, 10)[1] == pytest.approx(0.5 * (1 + math.cos(0.3 * math.pi)))


@pytest.mark.parametrize("name", STRENGTHS)
def test_no_schedule_takes_away_from_the_guide(name: str) -> None:
    for index in range(10):
        assert min(STRENGTHS[name](1 - index / 10, index, 10)) >= 0


@pytest.mark.parametrize("strength", [(0, 1), (0, 0)])
def test_a_guide_of_another_size_is_refused(strength: tuple[float, float]) -> None:
    with pytest.raises(
        ValueError, match=r"guide has shape \(1, 4, 8, 8\) and the prediction .*; resize the guide"
    ):
        project(latent(0), torch.zeros((1, 4, 8, 8)), partial(haar, level=1), strength)
