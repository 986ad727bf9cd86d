"""What an X-ray of a larger run holds: the energy of its fields by frequency, step by step. No torch.

Frequencies are radial, of the cosine transform of the latent, in RINGS rings from the mean to Nyquist's; what
lies in the corners beyond counts with the last ring. An energy is a share of the mean square, so that the
rings of a field add up to it exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RINGS = 16
FIELDS = ("v", "correction", "denoised", "corrected", "target", "gap", "gap_left")
"""The model's velocity and what was added to it; its prediction of the data before and after; what it was
drawn to, and how far it was from there before and after."""


@dataclass(frozen=True, eq=False)
class Bands:
    """An X-ray as arrays: energies (N, RINGS) by name of the field, and the strength (N, 2) = (full, low).

    A step of a method that corrects nothing has a correction of 0; its target and its gaps are not numbers.
    """

    energy: dict[str, Numbers]
    strength: Numbers

    @property
    def steps(self) -> int:
        return len(self.strength)

    @property
    def frequencies(self) -> Numbers:
        """(RINGS,): the middle of each ring, as a share of Nyquist's frequency."""
        return (np.arange(RINGS) + 0.5) / RINGS

    def density(self, field: str, size: tuple[int, int]) -> Numbers:
        """(N, RINGS): a field's power of each mode, which is 1 throughout for white noise of variance 1.

        A ring without modes is a gap. `size` is (rows, columns) of the latent.
        """
        shares, energy = ring_shares(*size), self.energy[field]
        return np.divide(energy, shares, out=np.full_like(energy, np.nan), where=shares > 0)

    def beyond(self, field: str, scale: float) -> Numbers:
        """(N,): the share of a field's energy that lies beyond the native picture's frequencies."""
        energy = self.energy[field]
        return energy[:, cut_ring(scale) :].sum(1) / np.maximum(energy.sum(1), 1e-12)

    def norm(self, field: str, scale: float, *, low: bool) -> Numbers:
        """(N,): the root mean square of a field in the native picture's frequencies, or beyond them."""
        cut = cut_ring(scale)
        energy = self.energy[field][:, :cut] if low else self.energy[field][:, cut:]
        return np.sqrt(energy.sum(1))

    def replaced(self, scale: float) -> Numbers:
        """(N,): how much of the prediction's low band the correction changed, as a share of its energy.

        ||low(x0~ - x0)||^2 / ||low(x0)||^2, the mean of the latent included.
        """
        cut = cut_ring(scale)
        moved = self.energy["moved"][:, :cut].sum(1)
        return moved / np.maximum(self.energy["denoised"][:, :cut].sum(1), 1e-12)

    def closed(self, scale: float) -> Numbers:
        """(N,): the share of the low band's gap to the target that was closed; 1 is all of it.

        Measured as a length: at strength 1.5 the gap is overshot by half, and half of it is left.
        """
        before, after = (self.norm(field, scale, low=True) for field in ("gap", "gap_left"))
        return 1 - after / np.maximum(before, 1e-12)


def bands(record: NDArray[np.floating], times: NDArray[np.floating], picture: int = 0) -> Bands:
    """A recorded X-ray (N, 2 + 7 RINGS, B) of one picture of a batch; `times` are the run's N + 1 sigmas."""
    values = record[:, :, picture].astype(np.float64)
    rings = values[:, 2:].reshape(len(values), len(FIELDS), RINGS)
    energy = {name: rings[:, k] for k, name in enumerate(FIELDS)}
    energy["moved"] = energy["correction"] * np.square(times[:-1, None])  # x0~ - x0 = -t (v~ - v)
    return Bands(energy, values[:, :2])


def ring_of(rows: int, columns: int) -> NDArray[np.intp]:
    """(rows, columns): the ring of each cosine mode."""
    radius = np.hypot(np.arange(rows)[:, None] / rows, np.arange(columns)[None] / columns)
    return np.minimum((radius * RINGS).astype(np.intp), RINGS - 1)


def ring_shares(rows: int, columns: int) -> Numbers:
    """(RINGS,): the share of all modes that each ring has."""
    return np.bincount(ring_of(rows, columns).ravel(), minlength=RINGS) / (rows * columns)


def cut_ring(scale: float) -> int:
    """The first ring beyond the frequencies of a picture `scale` times smaller, to the nearest ring."""
    return max(round(RINGS / scale), 1)
