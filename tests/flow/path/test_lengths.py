"""Path lengths: never below the chord, equal to it on a straight flow, known on an arc."""

import math

import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.grids import time_grid
from sd3demo.flow.path.lengths import LengthRecorder, PathLength, mean_length_bound, path_length
from sd3demo.flow.solvers import SOLVERS, At, Step

solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())


def moves(*positions: Tensor) -> list[Step]:
    count = len(positions) - 1
    times = time_grid(count).tolist()
    return [
        Step(At(times[i], i, count), times[i + 1], positions[i], positions[i], positions[i + 1], 1)
        for i in range(count)
    ]


@solvers
def test_a_path_is_longer_than_its_chord(solver, mixture: Mixture, noise: Tensor) -> None:
    path = path_length(solver(mixture.velocity, noise, time_grid(50)))
    assert path.length.shape == path.chord.shape == path.straightness.shape == (len(noise),)
    assert bool((path.length > path.chord).all())
    assert bool((path.straightness < 1).all())


@solvers
def test_a_straight_path_is_as_long_as_its_chord(solver, noise: Tensor) -> None:
    point = Gaussian(torch.tensor([2.0, -1.0], dtype=torch.float64), 0.0)
    path = path_length(solver(point.velocity, noise, time_grid(50, 3)))
    torch.testing.assert_close(path.length, path.chord, rtol=1e-12, atol=0)
    torch.testing.assert_close(path.straightness, torch.ones_like(path.length), rtol=1e-12, atol=0)
    torch.testing.assert_close(path.chord, (noise - point.mean).norm(dim=1))


def test_for_euler_the_length_is_that_of_table_6(mixture: Mixture, noise: Tensor) -> None:
    grid = time_grid(50)
    steps = list(SOLVERS["euler"](mixture.velocity, noise, grid))
    moved = [mixture.velocity(step.x, step.at) * (step.at.t - step.t_next) for step in steps]
    torch.testing.assert_close(path_length(steps).length, torch.stack(moved).norm(dim=-1).sum(0))


def test_half_a_circle_has_the_straightness_of_two_over_pi() -> None:
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    path = path_length(moves(*torch.stack([angles.cos(), angles.sin()], -1)[:, None]))
    assert path.chord.item() == pytest.approx(2)
    assert path.length.item() == pytest.approx(math.pi, rel=1e-6)
    assert path.straightness.item() == pytest.approx(2 / math.pi, rel=1e-6)


def test_each_sample_of_a_latent_has_its_own_length() -> None:
    start = torch.zeros((2, 4, 8, 8))
    step = torch.stack([torch.ones(4, 8, 8), torch.full((4, 8, 8), 2.0)])
    path = path_length(moves(start, start + step, start))
    assert path.length.tolist() == [32, 64]
    assert path.chord.tolist() == [0, 0]
    assert path.straightness.tolist() == [0, 0]


def test_a_point_that_never_moves_is_straight() -> None:
    x = torch.zeros((1, 3))
    assert path_length(moves(x, x)).straightness.tolist() == [1]


def test_a_recorder_measures_the_path_so_far(mixture: Mixture, noise: Tensor) -> None:
    steps = list(SOLVERS["heun"](mixture.velocity, noise, time_grid(6)))
    recorder = LengthRecorder()
    for count, step in enumerate(steps, 1):
        recorder(step)
        so_far, expected = recorder.result(), path_length(steps[:count])
        torch.testing.assert_close(so_far.length, expected.length)
        torch.testing.assert_close(so_far.chord, (step.x_next - noise).norm(dim=1))


def test_half_precision_does_not_overflow() -> None:
    x = torch.zeros((1, 64, 64), dtype=torch.float16)
    path = path_length(moves(x, x + 100))
    assert path.length.dtype == torch.float32
    assert path.length.item() == pytest.approx(6400)


def test_rounding_never_makes_a_path_straighter_than_straight() -> None:
    one = torch.ones(1)
    assert PathLength(length=one, chord=one + 1e-6).straightness.tolist() == [1]


@pytest.mark.parametrize("entries", [1, 16 * 128 * 128])
def test_the_bound_is_the_root_of_twice_the_entries(entries: int) -> None:
    assert mean_length_bound(entries) == pytest.approx(math.sqrt(2 * entries))


def test_the_bound_is_the_distance_of_independent_noise_and_data() -> None:
    eps, x0 = torch.randn((2, 50, 4096), generator=torch.Generator().manual_seed(4))
    assert path_length(moves(eps, x0)).length.mean().item() == pytest.approx(
        mean_length_bound(4096), rel=0.01
    )


def test_an_exact_flow_is_shorter_than_the_bound_by_jensens_inequality(mixture: Mixture) -> None:
    """From N(0, I) to N(0, I) in 1000 dimensions a perfect flow measures 18.4; sqrt(2 D) is 44.7."""
    generator, entries = torch.Generator().manual_seed(3), 1000
    noise = torch.randn((16, entries), generator=generator, dtype=torch.float64)
    same = Gaussian(torch.zeros(entries, dtype=torch.float64), 1.0)
    length = path_length(SOLVERS["euler"](same.velocity, noise, time_grid(400))).length.mean().item()
    assert mean_length_bound(entries) == pytest.approx(44.72, abs=0.01)
    assert length == pytest.approx(18.4, abs=0.3)
    # of any data x0 it is E || eps - x0 ||^2 = D + E || x0 ||^2 that bounds the mean
    plane = torch.randn((4096, 2), generator=generator, dtype=torch.float64)
    seconds = sum(
        weight * float((one.mean**2).sum() + 2 * one.std**2)
        for weight, one in zip(mixture.weights, mixture.components, strict=True)
    )
    paths = path_length(SOLVERS["euler"](mixture.velocity, plane, time_grid(100))).length.mean().item()
    assert 0.2 * math.sqrt(2 + seconds) < paths < math.sqrt(2 + seconds)


def test_no_steps_have_no_length() -> None:
    with pytest.raises(ValueError, match="a path of no steps has no length; record at least one Step"):
        path_length([])


def test_a_recorder_refuses_a_second_stage_of_another_size() -> None:
    recorder = LengthRecorder()
    recorder(moves(torch.zeros((1, 4)), torch.ones((1, 4)))[0])
    with pytest.raises(ValueError, match=r"began with shape \(1, 4\) and goes on with \(1, 8\); use a new"):
        recorder(moves(torch.zeros((1, 8)), torch.ones((1, 8)))[0])
