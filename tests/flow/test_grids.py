"""Grids: what must hold of all of them, then diffusers and ComfyUI, then the published last values."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sd3demo.flow.grids import CONVENTIONS, Convention, resolution_shift, shift, time_grid

alphas = st.floats(0.05, 20)
times = st.floats(0, 1)


@given(t=times, alpha=alphas, beta=alphas)
def test_shifts_compose_as_a_group(t: float, alpha: float, beta: float) -> None:
    assert shift(shift(t, beta), alpha) == pytest.approx(shift(t, alpha * beta), rel=1e-12)
    assert shift(shift(t, alpha), 1 / alpha) == pytest.approx(t, rel=1e-12)
    assert shift(t, 1) == t


@given(t=times, alpha=alphas)
def test_a_shift_is_the_equation_of_the_paper(t: float, alpha: float) -> None:
    assert shift(t, alpha) == pytest.approx(alpha * t / (1 + (alpha - 1) * t), rel=1e-12)


@given(t=st.floats(1e-3, 1 - 1e-3), alpha=alphas)
def test_a_shift_moves_the_log_snr_by_twice_the_log_of_alpha(t: float, alpha: float) -> None:
    def log_snr(t: float) -> float:
        return 2 * float(np.log((1 - t) / t))

    assert log_snr(shift(t, alpha)) == pytest.approx(log_snr(t) - 2 * np.log(alpha), abs=1e-9)


@given(alpha=alphas)
def test_a_shift_leaves_the_ends_where_they_are_to_the_last_bit(alpha: float) -> None:
    assert (shift(0.0, alpha), shift(1.0, alpha)) == (0, 1)


@pytest.mark.parametrize(
    "t",
    [
        0.25,
        np.array([0, 0.25, 1]),
        np.float32([[0.25]]),
        torch.tensor([0, 0.25, 1]),
        torch.tensor(0.25).double(),
    ],
    ids=["float", "array", "float32 array", "tensor", "float64 tensor"],
)
def test_a_shift_keeps_type_shape_and_dtype(t: float | np.ndarray | torch.Tensor) -> None:
    shifted = shift(t, 3)
    assert type(shifted) is type(t)
    if not isinstance(t, float):
        assert (shifted.shape, shifted.dtype) == (t.shape, t.dtype)
    np.testing.assert_allclose(shifted, 3 * np.asarray(t) / (1 + 2 * np.asarray(t)), rtol=1e-6)


def test_four_times_the_pixels_shift_by_two() -> None:
    assert resolution_shift(2048 * 2048, 1024 * 1024) == 2
    assert resolution_shift(512 * 512, 1024 * 1024) == 0.5


def test_resolution_shifts_compose_along_a_cascade() -> None:
    sizes = [512 * 512, 1024 * 768, 4096 * 4096]
    product = np.prod([resolution_shift(m, n) for n, m in pairwise(sizes)])
    assert product == pytest.approx(resolution_shift(sizes[-1], sizes[0]))


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(steps=st.integers(1, 1000), alpha=st.floats(0.1, 20))
def test_every_grid_falls_strictly_from_one_to_zero(convention: Convention, steps: int, alpha: float) -> None:
    grid = time_grid(steps, alpha, convention)
    assert grid.dtype == np.float64
    assert grid.shape == (steps + 1,)
    assert (grid[0], grid[-1]) == (1, 0)
    assert np.all(np.diff(grid) < 0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_one_step_goes_from_noise_to_data(convention: Convention) -> None:
    assert time_grid(1, 3, convention).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("convention", "middle"),
    [("uniform", 3 / 4), ("single", 3 / 1002), ("diffusers", 9 / 1008), ("linear", 1 / 2), ("comfy", 3 / 4)],
)
def test_two_steps_stop_once_in_between(convention: Convention, middle: float) -> None:
    assert time_grid(2, 3, convention).tolist() == pytest.approx([1, middle, 0], abs=1e-15)


def test_without_a_shift_equal_steps_are_linear() -> None:
    np.testing.assert_array_equal(time_grid(28), np.linspace(1, 0, 29))


@pytest.mark.parametrize("alpha", [1 / 3, 1, 3])
def test_the_linear_grid_has_no_shift(alpha: float) -> None:
    np.testing.assert_array_equal(time_grid(7, alpha, "linear"), np.linspace(1, 0, 8))


def test_the_names_of_the_type_are_those_of_the_registry() -> None:
    assert get_args(Convention) == tuple(CONVENTIONS)


@pytest.mark.parity
@pytest.mark.parametrize("steps", [1, 2, 5, 28, 50, 1000])
@pytest.mark.parametrize("alpha", [0.5, 1, 3, 6])
def test_the_diffusers_grid_is_that_of_diffusers(steps: int, alpha: float) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=alpha)
    scheduler.set_timesteps(steps)
    np.testing.assert_allclose(time_grid(steps, alpha, "diffusers"), scheduler.sigmas.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("convention", "last"),
    [
        ("uniform", [0.1875, 0.1000, 0]),
        ("single", [0.1059, 0.0030, 0]),
        ("diffusers", [0.1109, 0.0089, 0]),
        ("linear", [0.0714, 0.0357, 0]),
        ("comfy", [0.1888, 0.1007, 0]),
    ],
)
def test_28_steps_at_shift_3_end_as_published(convention: Convention, last: list[float]) -> None:
    assert time_grid(28, 3, convention)[-3:].round(4).tolist() == last


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: time_grid(0), "steps is 0; a grid needs at least 1 step"),
        (lambda: time_grid(4, alpha=0), "the shift alpha is 0; it must be a positive number"),
        (lambda: time_grid(4, alpha=float("nan")), "the shift alpha is nan"),
        (
            lambda: time_grid(4, convention="karras"),
            "unknown grid convention 'karras'; choose one of uniform, ",
        ),
        (lambda: time_grid(1001, convention="comfy"), "1001 steps .* coincide .* 'comfy'; try fewer steps"),
        (lambda: shift(0.5, -1), "the shift alpha is -1"),
        (lambda: resolution_shift(0, 1), "pixels is 0; it must be a positive count"),
        (lambda: resolution_shift(1, float("inf")), "native_pixels is inf"),
    ],
)
def test_a_grid_that_cannot_be_says_why(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
