"""Forward paths z_t = a_t x0 + b_t eps, and what a network may predict of them (SD3 paper, sections 2 and 3).

The log-SNR is lambda_t = log(a_t^2 / b_t^2); the velocity is v = dz/dt = a'_t x0 + b'_t eps, which is eq. 10,
u_t = (a'_t / a_t) z - (b_t / 2) lambda'_t eps, without its division by a_t.

Every conversion between predictions goes through one pivot, the pair of ends (x0, eps): `ends` recovers it
from any prediction, `prediction` reads any prediction off it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

Prediction = Literal["v", "x0", "eps"]


class Path(Protocol):
    """A forward path; t has any shape, 0 is data and 1 is noise, and every result has the shape of t."""

    def a(self, t: Tensor, /) -> Tensor:
        """The amplitude of the data."""
        ...

    def b(self, t: Tensor, /) -> Tensor:
        """The amplitude of the noise."""
        ...

    def slopes(self, t: Tensor, /) -> tuple[Tensor, Tensor]:
        """a'_t and b'_t."""
        ...

    def log_snr(self, t: Tensor, /) -> Tensor:
        """lambda_t, falling with t; infinite where the path reaches pure data or pure noise."""
        ...

    def log_snr_slope(self, t: Tensor, /) -> Tensor:
        """lambda'_t, negative."""
        ...


@dataclass(frozen=True)
class Rectified:
    """The straight path, eq. 13."""

    def a(self, t: Tensor) -> Tensor:
        return 1 - t

    def b(self, t: Tensor) -> Tensor:
        return t

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(t, -1), torch.ones_like(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return 2 * (torch.log1p(-t) - torch.log(t))

    def log_snr_slope(self, t: Tensor) -> Tensor:
        return -2 / (t * (1 - t))


@dataclass(frozen=True)
class Cosine:
    """A quarter of a circle, eq. 17; the "v-prediction" of Salimans and Ho is 2 / pi times this path's v."""

    def a(self, t: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * (1 - t))  # unlike the cosine of pi/2, exactly 0 at t = 1

    def b(self, t: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * t)

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -math.pi / 2 * self.b(t), math.pi / 2 * self.a(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return 2 * (torch.log(self.a(t)) - torch.log(self.b(t)))

    def log_snr_slope(self, t: Tensor) -> Tensor:
        return -math.pi / (self.a(t) * self.b(t))


@dataclass(frozen=True)
class EDM:
    """Noise added to data that keeps its scale, eq. 14: log b_t is normal for uniform t, by its quantiles.

    The defaults are those of Karras et al. (2022); the noise level grows without bound as t nears 1.
    """

    mean: float = -1.2  # P_m
    std: float = 1.2  # P_s

    def a(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def b(self, t: Tensor) -> Tensor:
        return torch.exp(self._log_b(t))

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(t), -0.5 * self.b(t) * self.log_snr_slope(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * self._log_b(t)

    def log_snr_slope(self, t: Tensor) -> Tensor:
        # The slope of a quantile function is one over the density at the quantile.
        return -2 * self.std * math.sqrt(2 * math.pi) * torch.exp(torch.special.ndtri(t) ** 2 / 2)

    def _log_b(self, t: Tensor) -> Tensor:
        return self.mean + self.std * torch.special.ndtri(t)


@dataclass(frozen=True)
class LDMLinear:
    """The path of Latent Diffusion: a_t^2 = prod(1 - beta), sqrt(beta) rising linearly over `count` steps.

    t = k / count is where k discrete steps have been made (diffusers' timestep k - 1); between two of them
    log a_t is linear, and t = 1 still holds a little data: a = 0.068.
    """

    first: float = 0.00085
    last: float = 0.012
    count: int = 1000

    def a(self, t: Tensor) -> Tensor:
        return torch.exp(self._log_a(t)[0])

    def b(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(2 * self._log_a(t)[0]))

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_a, slope = self._log_a(t)
        a = torch.exp(log_a)
        return slope * a, -slope * a**2 / self.b(t)

    def log_snr(self, t: Tensor) -> Tensor:
        log_a, _ = self._log_a(t)
        return 2 * log_a - torch.log(-torch.expm1(2 * log_a))

    def log_snr_slope(self, t: Tensor) -> Tensor:
        log_a, slope = self._log_a(t)
        return 2 * slope / -torch.expm1(2 * log_a)

    def _log_a(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """log a_t and its slope, both from the discrete betas."""
        table = _log_a_table(self.first, self.last, self.count).to(t)
        before = (t * self.count).long().clamp(0, self.count - 1)
        rise = table[before + 1] - table[before]
        return table[before] + (t * self.count - before) * rise, self.count * rise


@lru_cache
def _log_a_table(first: float, last: float, count: int) -> Tensor:
    """log a after 0, 1, ... count discrete steps, (count + 1,)."""
    betas = torch.linspace(math.sqrt(first), math.sqrt(last), count, dtype=torch.float64) ** 2
    return torch.cat([torch.zeros(1, dtype=torch.float64), 0.5 * torch.log1p(-betas).cumsum(0)])


class Ends(NamedTuple):
    """The two ends of the path through z_t, each of its shape."""

    x0: Tensor
    eps: Tensor


def noised(path: Path, pair: Ends, t: Tensor | float) -> Tensor:
    """z_t = a_t x0 + b_t eps, of the shape of x0, (B, ...); t is one time, or one a sample, (B,)."""
    t = broadcast_time(pair.x0, t)
    return path.a(t) * pair.x0 + path.b(t) * pair.eps


def ends(path: Path, z: Tensor, t: Tensor | float, *, given: Prediction, value: Tensor) -> Ends:
    """Recover the pair (x0, eps) of z_t = z, (B, ...), from one prediction `value`.

    x0 does not determine eps where b_t = 0, nor eps x0 where a_t = 0: there the result is not finite.
    """
    t = broadcast_time(z, t)
    a, b = path.a(t), path.b(t)
    match given:
        case "x0":
            return Ends(value, (z - a * value) / b)
        case "eps":
            return Ends((z - b * value) / a, value)
        case "v":
            da, db = path.slopes(t)
            determinant = a * db - b * da  # of z = a x0 + b eps, v = a' x0 + b' eps; 1 for the rectified flow
            return Ends((db * z - b * value) / determinant, (a * value - da * z) / determinant)


def prediction(path: Path, pair: Ends, t: Tensor | float, *, wanted: Prediction) -> Tensor:
    """Return what a network that predicts `wanted` outputs on the path between the pair of ends, (B, ...)."""
    match wanted:
        case "x0":
            return pair.x0
        case "eps":
            return pair.eps
        case "v":
            da, db = path.slopes(broadcast_time(pair.x0, t))
            return da * pair.x0 + db * pair.eps


def broadcast_time(x: Tensor, t: Tensor | float) -> Tensor:
    """t, one time or one a sample (B,), in the dtype of x (B, ...) and ready to broadcast against it."""
    t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    return t.reshape(-1, *[1] * (x.dim() - 1)) if t.dim() else t


PATHS: Mapping[str, Path] = {
    "rectified": Rectified(),
    "cosine": Cosine(),
    "edm": EDM(),
    "ldm-linear": LDMLinear(),
}
