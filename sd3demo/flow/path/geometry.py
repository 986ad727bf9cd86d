"""The geometry of a path in latent space, from the inner products of its moves alone.

A path of N moves lives in N dimensions at most, however many the latent has: its lengths (SD3, table 6), its
angles and its projection onto any plane follow from the N x N Gram matrix of its moves. Nothing here needs
torch, so that a recorded path can be shown without a model.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PathProjection:
    """A path in the plane of its two principal directions: its N + 1 states, centred.

    `share` is the part of the states' variance that lies in each of the two directions.
    """

    states: Numbers  # (N + 1, 2)
    share: tuple[float, float]


@dataclass(frozen=True, eq=False)
class PathGeometry:
    """The geometry of one path, by the Gram matrix G_ij = <m_i, m_j> of its moves m_i = z_{i+1} - z_i.

    Raises:
        ValueError: the matrix is not square, or empty.
    """

    gram: Numbers  # (N, N)

    def __post_init__(self) -> None:
        if self.gram.ndim != 2 or self.gram.shape[0] != self.gram.shape[1] or not self.gram.size:
            raise ValueError(f"the Gram matrix has shape {self.gram.shape}; it must be (N, N), N at least 1")

    @cached_property
    def moves(self) -> Numbers:
        """|| z_{i+1} - z_i ||, (N,): for Euler || v dt || of table 6."""
        return np.sqrt(np.maximum(np.diag(self.gram), 0))

    @cached_property
    def length(self) -> float:
        """L, the sum of the moves' lengths."""
        return float(self.moves.sum())

    @cached_property
    def chord(self) -> float:
        """|| z_N - z_0 ||, from the first state to the last."""
        return float(np.sqrt(max(self.gram.sum(), 0.0)))

    @property
    def straightness(self) -> float:
        """chord / length: 1 for a straight path, and for a point that never moves."""
        return min(self.chord / self.length, 1.0) if self.length else 1.0

    @property
    def to_chord(self) -> Numbers:
        """The angle of each move to the chord in radians, (N,)."""
        return _angles(self.gram.sum(1), self.moves * self.chord)

    @property
    def turns(self) -> Numbers:
        """The angle of each move to the one before in radians, (N - 1,)."""
        return _angles(np.diag(self.gram, 1), self.moves[1:] * self.moves[:-1])

    @property
    def from_chord(self) -> Numbers:
        """How far each state is from the straight line through the first and the last, (N + 1,)."""
        below = np.tri(len(self.gram) + 1, len(self.gram), -1)  # z_k - z_0 is the sum of k moves
        squares = np.einsum("ki,ij,kj->k", below, self.gram, below)
        along = below @ self.gram.sum(1) / self.chord if self.chord else np.zeros(len(below))
        return np.sqrt(np.maximum(squares - along**2, 0))

    def projection(self) -> PathProjection:
        """The states on their two main directions (principal components of the N + 1 states).

        Turned so that the first runs from noise to data, left to right, and the bend points upwards.
        """
        size = len(self.gram)
        below = np.tri(size + 1, size, -1)
        centred = below - below.mean(0)
        values, vectors = np.linalg.eigh(centred @ self.gram @ centred.T)
        values = np.maximum(values[::-1], 0)
        states = vectors[:, ::-1][:, :2] * np.sqrt(values[:2])
        states[:, 0] *= 1 if states[-1, 0] >= states[0, 0] else -1
        bend = states[:, 1] - np.linspace(states[0, 1], states[-1, 1], size + 1)
        states[:, 1] *= 1 if bend[np.argmax(np.abs(bend))] >= 0 else -1
        total = values.sum() or 1.0
        return PathProjection(states, (float(values[0] / total), float(values[1] / total)))


def _angles(products: Numbers, norms: Numbers) -> Numbers:
    """Angles in radians from inner products and the products of the norms; 0 where a vector has no length."""
    cosines = np.divide(products, norms, out=np.ones_like(norms), where=norms > 0)
    return np.arccos(np.clip(cosines, -1, 1))
