"""The length and straightness of a path: SD3 paper, table 6.

L = sum_i || z_{i+1} - z_i ||_2, the total length of a solver's moves; for Euler it is the paper's
sum_i || v (t_i - t_{i+1}) ||_2.  Unnormalised, a number for each sample; the paper takes 50 Euler steps.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sd3demo.flow.solvers import Step


@dataclass(frozen=True, eq=False)
class PathLength:
    """The length of a path and its chord || z_1 - z_0 ||_2, in the latent's units, each of shape (B,)."""

    length: Tensor  # (B,)
    chord: Tensor  # (B,)

    @property
    def straightness(self) -> Tensor:
        """chord / length, (B,): 1 for a straight path, nearer to 0 the more it winds.

        A point that never moves counts as straight.
        """
        ratio = torch.where(self.length > 0, self.chord / self.length, 1.0)
        return ratio.clamp(max=1.0)  # the triangle inequality, which rounding may break in the last digit


class LengthRecorder:
    """Measure a path while a solver runs: call it with each Step, then call `result()`.

    It keeps only the first and the last position.
    """

    def __init__(self) -> None:
        self._ends: tuple[Tensor, Tensor] | None = None  # before the first step, after the latest
        self._length: Tensor | float = 0.0

    def __call__(self, step: Step) -> None:
        """
        Raises:
            ValueError: the step belongs to another path: its shape is not that of the steps before.
        """
        first = step.x if self._ends is None else self._ends[0]
        if first.shape != step.x_next.shape:
            raise ValueError(
                f"the path began with shape {tuple(first.shape)} and goes on with {tuple(step.x_next.shape)};"
                " use a new LengthRecorder for each stage"
            )
        self._length = self._length + _norms(step.x_next - step.x)
        self._ends = (first, step.x_next)

    def result(self) -> PathLength:
        """The path so far.

        Raises:
            ValueError: no step was recorded.
        """
        if self._ends is None:
            raise ValueError("a path of no steps has no length; record at least one Step")
        first, last = self._ends
        chord = _norms(last - first)
        return PathLength(torch.zeros_like(chord) + self._length, chord)


def path_length(steps: Iterable[Step]) -> PathLength:
    """Return the length of the path of `steps`, which are consumed one by one: pass a solver.

    Raises:
        ValueError: there are no steps, or they change shape on the way.
    """
    recorder = LengthRecorder()
    for step in steps:
        recorder(step)
    return recorder.result()


def mean_length_bound(entries: int) -> float:
    """Return sqrt(2 D), which the mean length of a perfect flow without guidance cannot exceed.

    For D entries of unit variance it is the root mean square of || eps - x0 || over independent pairs. The
    marginal velocity is the mean of eps - x0 at a point, so that by Jensen's inequality its norm is no larger
    on average; how much smaller depends on the data. Guidance may exceed it.
    """
    return math.sqrt(2 * entries)


def _norms(move: Tensor) -> Tensor:
    """The Euclidean length of each sample's move, (B, ...) -> (B,)."""
    dtype = torch.promote_types(move.dtype, torch.float32)  # a half-precision sum of squares would overflow
    return torch.linalg.vector_norm(move.flatten(1), dim=1, dtype=dtype)
