"""Euler along the forward paths: exact where a path is straight, of first order on an exact field."""

import numpy as np
import pytest
import torch

from sd3demo.flow.exact import Gaussian
from sd3demo.flow.path_steps import (
    euler_errors,
    euler_path,
    exact_end,
    exact_ends,
    first_state,
    path_times,
)
from sd3demo.flow.paths import PATHS, Ends, noised
from sd3demo.training.toy_data import CLUSTERS

NOISE = torch.randn((64, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
PAIR = Ends(torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[0.5, 0.3]]).double())
every = pytest.mark.parametrize("name", PATHS)
STRAIGHT = {"rectified", "edm"}


@every
def test_times_fall_from_almost_no_data_to_data(name: str) -> None:
    path, times = PATHS[name], path_times(PATHS[name], 7)
    assert len(times) == 8
    assert times[-1] == 0
    assert bool((times.diff() < 0).all())
    assert float(path.a(times[0]) / path.b(times[0])) < 0.1


@every
@pytest.mark.parametrize("steps", [1, 3])
def test_euler_between_one_pair_is_exact_where_the_path_is_straight(name: str, steps: int) -> None:
    path, times = PATHS[name], path_times(PATHS[name], steps)
    start = noised(path, PAIR, float(times[0]))
    away = float((euler_path(path, lambda z, t: PAIR, start, times)[-1] - PAIR.x0).norm())
    assert (away < 1e-9) == (name in STRAIGHT)


@every
def test_the_posterior_of_a_normal_distribution_is_known_on_every_path(name: str) -> None:
    path, std = PATHS[name], 0.7
    data = Gaussian(torch.zeros(2, dtype=torch.float64), std)
    t = torch.tensor(0.4, dtype=torch.float64)
    a, b = path.a(t), path.b(t)
    found = exact_ends(path, data)(NOISE, t)
    torch.testing.assert_close(found.x0, a * std**2 / (a**2 * std**2 + b**2) * NOISE)
    torch.testing.assert_close(found.eps, b / (a**2 * std**2 + b**2) * NOISE)


@every
def test_the_exact_end_keeps_the_deviate_of_a_normal_distribution(name: str) -> None:
    path, std = PATHS[name], 0.7
    data = Gaussian(torch.zeros(2, dtype=torch.float64), std)
    t = path_times(path, 1)[0]
    start = first_state(path, NOISE, path_times(path, 1))
    width = (path.a(t) ** 2 * std**2 + path.b(t) ** 2).sqrt()
    torch.testing.assert_close(exact_end(path, data, start, t), start * std / width, rtol=1e-3, atol=1e-3)


@every
def test_the_error_on_an_exact_field_is_of_first_order(name: str) -> None:
    counts = (64, 128, 256)
    errors = euler_errors(PATHS[name], CLUSTERS, NOISE, counts).numpy()
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)
