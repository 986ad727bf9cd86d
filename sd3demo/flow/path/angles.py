"""Angles between the velocities of a path, and the inner products of its moves.

Angles follow Kahan, 2 atan2(|| u/|u| - w/|w| ||, || u/|u| + w/|w| ||): an arc cosine loses half of its digits
where two directions nearly agree, as in a straight flow.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sd3demo.flow.solvers import Step

CHUNK = 2**18
"""Entries of a move that are multiplied at a time, so that memory does not grow with the latent."""


def angle(u: Tensor, w: Tensor) -> Tensor:
    """The angle between u and w in radians, a number for each sample: (B, ...) -> (B,).

    A zero vector has no direction; its angle to anything is 0.
    """
    dtype = torch.promote_types(u.dtype, torch.float32)
    u, w = u.flatten(1).to(dtype), w.flatten(1).to(dtype)
    a, b = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (u, w))
    a, b = (torch.where(norm > 0, norm, 1) for norm in (a, b))
    apart = torch.linalg.vector_norm(u / a - w / b, dim=1)
    along = torch.linalg.vector_norm(u / a + w / b, dim=1)
    still = (u == 0).all(1) | (w == 0).all(1)
    return torch.where(still, 0, 2 * torch.atan2(apart, along))


class MoveRecorder:
    """Record each move z_{i+1} - z_i of a solver on the CPU: as many latents as steps."""

    def __init__(self) -> None:
        self._moves: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        """
        Raises:
            ValueError: the step belongs to another path: its shape is not that of the steps before.
        """
        move = (step.x_next - step.x).flatten(1)
        if self._moves and self._moves[0].shape != move.shape:
            raise ValueError(
                f"the path began with moves of shape {tuple(self._moves[0].shape)} and goes on with "
                f"{tuple(move.shape)}; use a new MoveRecorder for each stage"
            )
        self._moves.append(move.to("cpu", torch.promote_types(move.dtype, torch.float32)))

    def result(self) -> NDArray[np.float64]:
        """The Gram matrix of the moves, (B, N, N).

        Raises:
            ValueError: no step was recorded.
        """
        return gram(self._moves)


def gram(moves: Sequence[Tensor]) -> NDArray[np.float64]:
    """G_ij = <m_i, m_j> of the moves m_1, ..., m_N, each (B, D), in float64: (B, N, N).

    All of `flow.path.geometry` follows from it, in any number of dimensions.

    Raises:
        ValueError: there are no moves.
    """
    if not moves:
        raise ValueError("a path of no steps has no shape; record at least one Step")
    size, (batch, entries) = len(moves), moves[0].shape
    products = np.empty((batch, size, size))
    for picture in range(batch):
        total = torch.zeros(size, size, dtype=torch.float64)
        width = max(CHUNK // size, 1)
        for start in range(0, entries, width):
            rows = torch.stack([move[picture, start : start + width] for move in moves]).double()
            total += rows @ rows.T
        products[picture] = total.numpy()
    return products
