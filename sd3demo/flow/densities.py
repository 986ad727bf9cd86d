"""Densities pi(t) of the training time, SD3 paper, section 3.1: how often each noise level is trained.

Each is known by its density, its distribution function and that function's inverse; a sample is the inverse
of a uniform number.  t and q are tensors of any shape with entries in [0, 1]; results have their dtype.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sd3demo.flow.grids import shift


class Density(Protocol):
    """A probability density on (0, 1)."""

    def pdf(self, t: Tensor) -> Tensor:
        """pi(t)."""
        ...

    def cdf(self, t: Tensor) -> Tensor:
        """The probability of a time below t."""
        ...

    def icdf(self, q: Tensor) -> Tensor:
        """The time below which the probability is q."""
        ...

    def sample(self, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Independent times, float32, where the generator is (without one, on torch's default device)."""
        device = None if generator is None else generator.device
        return self.icdf(torch.rand(tuple(shape), generator=generator, device=device, dtype=torch.float32))


@dataclass(frozen=True)
class Uniform(Density):
    """Every noise level equally often: the rectified flow as it was first trained."""

    def pdf(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def cdf(self, t: Tensor) -> Tensor:
        return t

    def icdf(self, q: Tensor) -> Tensor:
        return q


@dataclass(frozen=True)
class LogitNormal(Density):
    """logit(t) is normal with mean m and deviation s, eq. 19: favours the middle, vanishes at both ends.

    m > 0 leans towards noise.

    Raises:
        ValueError: s is not positive, or m is not finite.
    """

    m: float = 0.0
    s: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.m):
            raise ValueError(f"m is {self.m}; it must be finite: 0 centres the logit-normal on t = 1/2")
        if not (math.isfinite(self.s) and self.s > 0):
            raise ValueError(f"s is {self.s}; the logit-normal needs a positive deviation, such as 1")

    def pdf(self, t: Tensor) -> Tensor:
        # In logarithms, for near an end the one factor underflows before the other overflows.
        log_pdf = -0.5 * self._deviate(t) ** 2 - torch.log(t) - torch.log1p(-t)
        pdf = torch.exp(log_pdf) / (self.s * math.sqrt(2 * math.pi))
        return torch.where((t > 0) & (t < 1), pdf, 0.0)  # at the ends the logarithms are infinite

    def cdf(self, t: Tensor) -> Tensor:
        return torch.special.ndtr(self._deviate(t))

    def icdf(self, q: Tensor) -> Tensor:
        return torch.sigmoid(self.m + self.s * torch.special.ndtri(q))

    def _deviate(self, t: Tensor) -> Tensor:
        return (torch.logit(t) - self.m) / self.s


@dataclass(frozen=True)
class Mode(Density):
    """Mode sampling with heavy tails, eq. 20: favours the middle (s > 0) or the ends (s < 0).

    Unlike the logit-normal it stays positive at both ends; s = 0 is uniform.  In table 1, 1.29 is the
    best mode, and 4th of all.

    Raises:
        ValueError: s lies outside of [-1, 2 / (pi - 2)], where eq. 20 is no longer monotonic.
    """

    s: float = 1.29

    def __post_init__(self) -> None:
        largest = 2 / (math.pi - 2)
        if not -1 <= self.s <= largest:
            raise ValueError(
                f"s is {self.s}; mode sampling is monotonic for s in [-1, {largest:.4f}] only (2 / (pi - 2)):"
                " try 1.29"
            )

    def pdf(self, t: Tensor) -> Tensor:
        slope = (1 + self.s) - self.s * math.pi / 2 * torch.sin(math.pi * self.cdf(t))  # of the inverse
        return 1 / slope.clamp(min=0)  # infinite, and not negative, where it touches 0 at the extreme s

    def cdf(self, t: Tensor) -> Tensor:
        """Eq. 20 inverted by halving, which cannot diverge where its slope nears 0 or infinity.

        The density is symmetric, so the lower half is enough; near t = 1 the digits are in 1 - t.
        """
        t64 = t.double()
        target = torch.minimum(t64, 1 - t64)
        low, high = torch.zeros_like(target), torch.full_like(target, 0.5)
        for _ in range(54):  # one more than the binary digits of a float64
            middle = (low + high) / 2
            below = self.icdf(middle) < target
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return torch.where(t64 > 0.5, 1 - low, low).to(t.dtype)

    def icdf(self, q: Tensor) -> Tensor:
        # Eq. 20 at u = 1 - q, for it falls from 1 to 0; this arrangement keeps the digits at s = -1.
        t = (1 + self.s) * q - self.s * torch.sin(math.pi / 2 * q) ** 2
        return t.clamp(0, 1)


@dataclass(frozen=True)
class CosMap(Density):
    """The times at which the straight path has the log-SNR of the cosine path at uniform ones, eq. 21, 22."""

    def pdf(self, t: Tensor) -> Tensor:
        return 2 / (math.pi - 2 * math.pi * t * (1 - t))

    def cdf(self, t: Tensor) -> Tensor:
        return 2 / math.pi * torch.atan2(t, 1 - t)

    def icdf(self, q: Tensor) -> Tensor:
        # 1 - 1 / (tan + 1), both parts of the tangent as sines: finite at q = 1, symmetric to the last bit.
        up, down = torch.sin(math.pi / 2 * q), torch.sin(math.pi / 2 * (1 - q))
        return up / (up + down)


@dataclass(frozen=True)
class Shifted(Density):
    """Another density, its times moved by the resolution-dependent shift of eq. 23.

    pi'(t') = pi(t) dt/dt'; a logit-normal(m, s) becomes a logit-normal(m + log(alpha), s).

    Raises:
        ValueError: alpha is not positive.
    """

    density: Density
    alpha: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha is {self.alpha}; a shift must be positive: 1 for none, 3 for SD3")

    def pdf(self, t: Tensor) -> Tensor:
        back = 1 / self.alpha
        slope = back / (back * t + (1 - t)) ** 2  # of shift(t, back)
        return self.density.pdf(shift(t, back)) * slope

    def cdf(self, t: Tensor) -> Tensor:
        return self.density.cdf(shift(t, 1 / self.alpha))

    def icdf(self, q: Tensor) -> Tensor:
        return shift(self.density.icdf(q), self.alpha)


# With the defaults that the classes give; dataclasses.replace changes a parameter.
DENSITIES: Mapping[str, Density] = {
    "uniform": Uniform(),
    "logit-normal": LogitNormal(),
    "mode": Mode(),
    "cosmap": CosMap(),
}
