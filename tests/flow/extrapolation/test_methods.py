"""Each method against a plain reading of its source, step by step, on a flow with a known answer."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from sd3demo.flow.exact import Gaussian
from sd3demo.flow.extrapolation.lowpass import haar, radial
from sd3demo.flow.extrapolation.methods import HIFLOW_BETA, METHODS, Method, MethodInputs, native_time
from sd3demo.flow.extrapolation.projection import STRENGTHS, Correction
from sd3demo.flow.grids import time_grid
from sd3demo.flow.solvers import SOLVERS, At

SHAPE, SMALL, M = (2, 3, 8, 8), (2, 3, 4, 4), 2
GRID = tuple(float(t) for t in time_grid(6, 3.0))
LOW_PASS = partial(radial, cutoff=0.5)


def tensor(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LARGE, NATIVE = Gaussian(tensor(1)[0], 0.6), Gaussian(tensor(2, SMALL)[0], 0.4)
GUIDE, NOISE = tensor(3), tensor(4)
BEFORE, AFTER = tensor(5, SMALL), tensor(6, SMALL)


def predicted(t: float) -> Tensor:
    """What a native run might have predicted on its way, enlarged."""
    return interpolate(t * BEFORE + (1 - t) * AFTER, scale_factor=M, mode="nearest")


def given(
    strength: str = "paper", watch: Callable[[Correction], None] = lambda correction: None
) -> MethodInputs:
    return MethodInputs(
        velocity=LARGE.velocity,
        guide=GUIDE,
        noise=NOISE,
        grid=GRID,
        low_pass=LOW_PASS,
        strength=STRENGTHS[strength],
        watch=watch,
        factor=M,
        native=NATIVE.velocity,
        predicted=predicted,
    )


def path(name: str, solver: str = "euler", strength: str = "paper") -> list[Tensor]:
    """The states after each step."""
    field = METHODS[name].field(given(strength))
    return [step.x_next for step in SOLVERS[solver](field, NOISE, GRID)]


def v_at(x: Tensor, t: float) -> Tensor:
    return LARGE.velocity(x, At(t, 0, 1))


def moves() -> list[tuple[float, float]]:
    return list(itertools.pairwise(GRID))


@pytest.mark.parametrize("name", ["direct", "sdedit", "time-aware"])
def test_a_method_that_only_chooses_where_to_start_or_to_look_leaves_the_velocity_alone(name: str) -> None:
    assert METHODS[name].field(given()) == LARGE.velocity


def test_projected_flow_is_equation_7() -> None:
    x = NOISE
    for (t, t_next), ours in zip(moves(), path("projected"), strict=True):
        alpha = 1 - 0.5 * math.cos(math.pi * t)
        v = v_at(x, t)
        x = x + (t_next - t) * (v + alpha / t * LOW_PASS(x - t * v - GUIDE))
        torch.testing.assert_close(ours, x)


def test_skip_residual_is_demofusions_loop() -> None:
    x = NOISE
    for (t, t_next), ours in zip(moves(), path("skip-residual"), strict=True):
        c = ((1 + math.cos(math.pi * (1 - t))) / 2) ** 3
        x = c * ((1 - t) * GUIDE + t * NOISE) + (1 - c) * x
        x = x + (t_next - t) * v_at(x, t)
        torch.testing.assert_close(ours, x)


def test_upsample_guidance_is_its_formula() -> None:
    x = NOISE
    for (t, t_next), ours in zip(moves(), path("upsample-guidance"), strict=True):
        weight = 1 - 0.5 * math.cos(math.pi * t)
        x0 = x - t * v_at(x, t)
        tau = t / (M * (1 - t) + t)
        y = avg_pool2d(x, M) / ((1 - t) + t / M)
        native = y - tau * NATIVE.velocity(y, At(tau, 0, 1))
        x0 = x0 + weight * interpolate(native - avg_pool2d(x0, M), scale_factor=M, mode="nearest")
        x = x + (t_next - t) * (x - x0) / t
        torch.testing.assert_close(ours, x)


def test_the_mean_of_a_noised_picture_is_the_small_picture_noised_less() -> None:
    """D((1 - t) U y0 + t eps) / ((1 - t) + t / m) has y0's share 1 - tau and noise of deviation tau."""
    for t in (0.1, 0.5, 0.9, 1.0):
        tau, whole = native_time(t, M), (1 - t) + t / M
        assert (1 - t) / whole == pytest.approx(1 - tau)
        assert t / M / whole == pytest.approx(tau)


def test_hiflow_is_its_two_alignments() -> None:
    x, before = NOISE, None
    for (t, t_next), ours in zip(moves(), path("hiflow"), strict=True):
        alpha = 1 - 0.5 * math.cos(math.pi * t)
        x0 = x - t * v_at(x, t)
        v = (x - (x0 + alpha * LOW_PASS(predicted(t) - x0))) / t
        if before is not None:
            t_before, v_before = before
            reference, reference_before = NOISE - predicted(t), NOISE - predicted(t_before)
            v = v + HIFLOW_BETA * ((v_before + reference - reference_before) - v)
        before = (t, v)
        x = x + (t_next - t) * v
        torch.testing.assert_close(ours, x)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_integrated_by_the_solvers_that_it_names(name: str) -> None:
    method: Method = METHODS[name]
    for solver in method.solvers or SOLVERS:
        assert torch.isfinite(path(name, solver)[-1]).all()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("skip-residual",)])
@pytest.mark.parametrize("solver", SOLVERS)
def test_without_strength_every_method_is_the_direct_one_to_the_last_bit(name: str, solver: str) -> None:
    for ours, direct in zip(path(name, solver, "off"), path("direct", solver), strict=True):
        assert torch.equal(ours, direct)


@pytest.mark.parametrize("name", ["projected", "skip-residual", "upsample-guidance", "hiflow"])
def test_what_a_method_made_of_the_velocity_is_told_at_each_evaluation(name: str) -> None:
    seen: list[Correction] = []
    field = METHODS[name].field(given("paper", seen.append))
    steps = list(SOLVERS["euler"](field, NOISE, GRID))
    assert [correction.at.t for correction in seen] == list(GRID[:-1])
    for correction, step in zip(seen, steps, strict=True):
        assert torch.equal(correction.corrected, step.v)
        torch.testing.assert_close(correction.v, v_at(correction.x, step.at.t))
        assert correction.strength != (0, 0)
        assert correction.target.shape == step.x.shape


def test_a_method_says_where_it_comes_from_and_what_it_needs() -> None:
    for name, method in METHODS.items():
        assert method.title, name
        assert method.source, name
        assert 0 < method.start <= 1, name
        assert set(method.solvers) <= set(SOLVERS), name


def test_a_haar_projection_at_strength_one_leaves_the_guides_block_means() -> None:
    """P x0~ = P g: what the last step lands on has exactly the guide's low frequencies."""
    low = partial(haar, level=1)
    made = given("constant")
    field = METHODS["projected"].field(MethodInputs(**{**made.__dict__, "low_pass": low}))
    *_, step = SOLVERS["euler"](field, NOISE, GRID)
    torch.testing.assert_close(low(step.x_next), low(GUIDE))
