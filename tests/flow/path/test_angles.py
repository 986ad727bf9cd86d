"""Angles that are exact where directions nearly agree, and inner products that keep what a path is."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Mixture
from sd3demo.flow.grids import time_grid
from sd3demo.flow.path import angles
from sd3demo.flow.path.angles import MoveRecorder, angle, gram
from sd3demo.flow.solvers import SOLVERS, At, Step


@pytest.mark.parametrize("turn", [0.0, 1e-9, 1e-4, 0.5, math.pi / 2, 3.0, math.pi])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_an_angle_is_the_one_that_was_turned_by(turn: float, scale: float) -> None:
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    w = scale * torch.tensor([[math.cos(turn), math.sin(turn)]], dtype=torch.float64)
    assert angle(u, w).item() == pytest.approx(turn, rel=1e-6, abs=1e-15)
    assert angle(w, u).item() == pytest.approx(turn, rel=1e-6, abs=1e-15)


def test_a_vector_of_no_length_has_an_angle_of_zero_to_anything() -> None:
    u = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert angle(u, u.flip(0)).tolist() == [0, 0]


def test_each_sample_has_its_own_angle_whatever_its_shape() -> None:
    u = torch.zeros(2, 3, 4, 4)
    w = torch.zeros(2, 3, 4, 4)
    u[:, 0, 0, 0] = 1
    w[0, 0, 0, 0], w[1, 2, 3, 3] = 5, 7
    assert angle(u, w).tolist() == pytest.approx([0, math.pi / 2])


def test_half_precision_is_widened_before_it_overflows() -> None:
    u = torch.full((1, 4096), 200.0, dtype=torch.float16)
    assert angle(u, -u).item() == pytest.approx(math.pi)


@pytest.mark.parametrize("chunk", [1, 7, 2**18])
def test_the_gram_matrix_is_that_of_the_moves_however_it_is_cut(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(angles, "CHUNK", chunk)
    moves = torch.randn((5, 3, 40), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.einsum("nbd,mbd->bnm", moves, moves).numpy()
    np.testing.assert_allclose(gram(list(moves)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_recorder_keeps_the_moves_that_a_solver_made(solver: str, mixture: Mixture, noise: Tensor) -> None:
    recorder, moves = MoveRecorder(), []
    for step in SOLVERS[solver](mixture.velocity, noise, time_grid(9, 2)):
        recorder(step)
        moves.append(step.x_next - step.x)
    np.testing.assert_allclose(recorder.result(), gram(moves))


def test_a_path_of_no_steps_has_no_shape() -> None:
    with pytest.raises(ValueError, match="no steps has no shape; record at least one Step"):
        MoveRecorder().result()


def test_a_recorder_refuses_a_second_stage_of_another_size() -> None:
    recorder = MoveRecorder()
    for size in (4, 8):
        x = torch.zeros(1, size)
        step = Step(At(1.0, 0, 1), 0.0, x, x, x, 1)
        if size == 4:
            recorder(step)
        else:
            with pytest.raises(ValueError, match=r"shape \(1, 4\) and goes on with \(1, 8\); use a new"):
                recorder(step)
