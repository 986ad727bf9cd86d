"""A path's shape from its moves' inner products alone, against paths whose shape is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.grids import time_grid
from sd3demo.flow.path.angles import MoveRecorder, angle
from sd3demo.flow.path.geometry import PathGeometry
from sd3demo.flow.path.lengths import path_length
from sd3demo.flow.solvers import SOLVERS, Step

SIDES = 64


def recorded(steps: list[Step]) -> list[PathGeometry]:
    recorder = MoveRecorder()
    for step in steps:
        recorder(step)
    return [PathGeometry(gram) for gram in recorder.result()]


def through(*points: tuple[float, ...]) -> PathGeometry:
    """The path through points of any dimension."""
    moves = np.diff(np.array(points, dtype=np.float64), axis=0)
    return PathGeometry(moves @ moves.T)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_exact_straight_flow_is_as_long_as_its_chord_and_turns_nowhere(solver: str, noise: Tensor) -> None:
    """The flow of a point is straight: dz/dt = (z - mu) / t."""
    point = Gaussian(torch.tensor([2.0, -1.0], dtype=torch.float64), 0.0)
    steps = list(SOLVERS[solver](point.velocity, noise, time_grid(50, 3)))
    for shape, start in zip(recorded(steps), noise, strict=True):
        assert shape.length == pytest.approx(shape.chord, rel=1e-6)
        assert shape.chord == pytest.approx(float((start - point.mean).norm()), rel=1e-9)
        assert shape.straightness == pytest.approx(1, rel=1e-6)
        assert np.abs(shape.to_chord).max() < 1e-6
        assert np.abs(shape.turns).max() < 1e-6
        assert np.abs(shape.from_chord).max() < 1e-6
        assert shape.projection().share == pytest.approx((1, 0), abs=1e-9)


def test_the_mixtures_path_has_the_length_of_fine_integration(mixture: Mixture, noise: Tensor) -> None:
    """Runge-Kutta's 400 moves against Euler's 4,000, from which the curve cannot be told."""
    coarse = recorded(list(SOLVERS["rk4"](mixture.velocity, noise[:8], time_grid(400))))
    fine = path_length(SOLVERS["euler"](mixture.velocity, noise[:8], time_grid(4000)))
    np.testing.assert_allclose([shape.length for shape in coarse], fine.length, rtol=2e-3)
    np.testing.assert_allclose([shape.chord for shape in coarse], fine.chord, rtol=2e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_lengths_and_angles_are_those_of_the_steps(solver: str, mixture: Mixture, noise: Tensor) -> None:
    steps = list(SOLVERS[solver](mixture.velocity, noise, time_grid(12)))
    shapes, path = recorded(steps), path_length(steps)
    moves = torch.stack([step.x_next - step.x for step in steps])
    chord = steps[-1].x_next - steps[0].x
    np.testing.assert_allclose([shape.length for shape in shapes], path.length, rtol=1e-12)
    np.testing.assert_allclose([shape.chord for shape in shapes], path.chord, rtol=1e-12)
    for picture, shape in enumerate(shapes):
        np.testing.assert_allclose(shape.moves, moves[:, picture].norm(dim=1), rtol=1e-12)
        bends = [angle(*moves[i : i + 2, picture, None]).item() for i in range(len(steps) - 1)]
        np.testing.assert_allclose(shape.turns, bends, atol=1e-7)
        to_chord = [angle(move[None], chord[picture, None]).item() for move in moves[:, picture]]
        np.testing.assert_allclose(shape.to_chord, to_chord, atol=1e-7)


def test_half_a_circle_turns_evenly_and_leaves_its_chord_by_its_radius() -> None:
    turned = np.linspace(0, math.pi, SIDES + 1)
    shape = through(*zip(np.cos(turned), np.sin(turned), strict=True))
    assert shape.straightness == pytest.approx(2 / math.pi, rel=1e-3)
    np.testing.assert_allclose(shape.turns, math.pi / SIDES, rtol=1e-6)
    assert shape.to_chord[0] == pytest.approx(math.pi / 2 - math.pi / SIDES / 2, rel=1e-6)
    assert shape.from_chord.max() == pytest.approx(1)
    assert np.argmax(shape.from_chord) == SIDES // 2


@pytest.mark.parametrize("dimensions", [2, 3, 50])
def test_a_path_in_a_plane_is_its_own_projection(dimensions: int) -> None:
    """Distances between the projected states are those between the states, wherever the plane lies."""
    turned = np.linspace(0.3, 2.0, 20)
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(dimensions, 2)))[0]
    states = np.stack([3 * np.cos(turned), np.sin(turned)], 1) @ plane.T
    projection = through(*states).projection()
    assert sum(projection.share) == pytest.approx(1)
    found, true = projection.states, states
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found[None], axis=-1),
        np.linalg.norm(true[:, None] - true[None], axis=-1),
        atol=1e-9,
    )
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)


def test_the_projection_is_that_of_a_principal_component_analysis(mixture: Mixture) -> None:
    states = np.cumsum(np.random.default_rng(3).normal(size=(30, 7)), axis=0)
    projection = through(*states).projection()
    centred = states - states.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    np.testing.assert_allclose(np.abs(projection.states), np.abs(expected), atol=1e-9)
    assert projection.share == pytest.approx(tuple((values**2 / (values**2).sum())[:2]))


def test_a_projection_runs_from_left_to_right_and_bends_upwards() -> None:
    for points in ([(0, 0), (1, 1), (2, 0)], [(2, 0), (1, -1), (0, 0)], [(0, 0), (-1, 3), (-9, 0)]):
        states = through(*points).projection().states
        assert states[-1, 0] > states[0, 0]
        assert states[1, 1] >= (states[0, 1] + states[2, 1]) / 2


def test_one_move_and_no_move_are_straight() -> None:
    assert through((0, 0), (3, 4)).straightness == 1
    assert through((0, 0), (3, 4)).turns.shape == (0,)
    still = through((1, 1), (1, 1), (1, 1))
    assert (still.length, still.chord, still.straightness) == (0, 0, 1)
    assert still.to_chord.tolist() == [0, 0]
    assert np.isfinite(still.projection().states).all()


@pytest.mark.parametrize("shape", [(2, 3), (0, 0), (4,)])
def test_what_is_no_gram_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"it must be \(N, N\)"):
        PathGeometry(np.zeros(shape))
