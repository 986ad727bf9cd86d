"""Data whose flow is known in closed form: the reference that every layer above is tested against.

For x0 ~ N(mu, sigma^2) entrywise and z_t = (1 - t) x0 + t eps (eq. 13 of the SD3 paper), z_t is normal with
mean (1 - t) mu and variance V = (1 - t)^2 sigma^2 + t^2, and the two halves of the velocity
v = E[eps - x0 | z_t] are linear in z_t:

    E[x0 | z_t]  = mu + (1 - t) sigma^2 / V (z_t - (1 - t) mu)
    E[eps | z_t] = t / V (z_t - (1 - t) mu)

For a mixture both are averages of the components', weighted by each component's posterior probability.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sd3demo.flow.paths import Ends, broadcast_time
from sd3demo.flow.solvers import At


class ExactData(Protocol):
    """A distribution of data with its rectified flow; `velocity` is a Velocity.

    x is (B, ...); t is a time, or one for each sample, (B,).
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw data, (count, ...), on the CPU."""
        ...

    def log_density(self, x: Tensor, t: Tensor | float) -> Tensor:
        """log p_t(x), (B,): of the data at t = 0, of standard normal noise at t = 1."""
        ...

    def posterior(self, x: Tensor, t: Tensor | float) -> Ends:
        """E[x0 | z_t] and E[eps | z_t], the means of the two ends of the paths through z_t = x."""
        ...

    def velocity(self, x: Tensor, at: At) -> Tensor:
        """E[eps - x0 | z_t = x], exactly; finite at t = 0 too, unless a component is a single point."""
        ...


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Independent normal entries; `std` is one number for all or a tensor that broadcasts to the mean.

    std 0 is a single point, whose flow is straight; its density and velocity then exist for t > 0 only.

    Raises:
        ValueError: a std is negative.
    """

    mean: Tensor  # (...), the shape of one sample
    std: Tensor | float

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.std) >= 0).all()):
            raise ValueError(f"std is {self.std}; a standard deviation must be 0 or more")

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn((count, *self.mean.shape), generator=generator, dtype=self.mean.dtype)
        return self.mean + self.std * noise.to(self.mean.device)

    def log_density(self, x: Tensor, t: Tensor | float) -> Tensor:
        t = broadcast_time(x, t)
        variance = self._variance(x, t)
        away = x - (1 - t) * self.mean.to(x)
        return (-0.5 * (away**2 / variance + torch.log(2 * math.pi * variance))).flatten(1).sum(1)

    def posterior(self, x: Tensor, t: Tensor | float) -> Ends:
        t = broadcast_time(x, t)
        mean, std = self.mean.to(x), _like(self.std, x)
        noise_share = (x - (1 - t) * mean) / self._variance(x, t)
        return Ends(mean + (1 - t) * std**2 * noise_share, t * noise_share)

    def velocity(self, x: Tensor, at: At) -> Tensor:
        return _velocity(self.posterior(x, at.t))

    def transport(self, x: Tensor, start: float, end: float) -> Tensor:
        """Move x along the flow from the time `start` to `end`: its z-score stays the same along the path."""
        t, s = broadcast_time(x, start), broadcast_time(x, end)
        mean = self.mean.to(x)
        scale = (self._variance(x, s) / self._variance(x, t)).sqrt()
        return (1 - s) * mean + scale * (x - (1 - t) * mean)

    def _variance(self, x: Tensor, t: Tensor) -> Tensor:
        return ((1 - t) ** 2 * _like(self.std, x) ** 2 + t**2).expand_as(x)


@dataclass(frozen=True, eq=False)
class Mixture:
    """One of several Gaussians, drawn with the probabilities `weights`.

    Raises:
        ValueError: weights and components differ in number, or the weights are not probabilities.
    """

    weights: tuple[float, ...]
    components: tuple[Gaussian, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.components):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.components)} components; give one for each"
            )
        if not (all(w > 0 for w in self.weights) and math.isclose(sum(self.weights), 1)):
            raise ValueError(f"the weights are {self.weights}; they must be positive and sum to 1")

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        drawn = torch.multinomial(torch.tensor(self.weights), count, replacement=True, generator=generator)
        candidates = torch.stack([component.sample(count, generator) for component in self.components])
        return candidates[drawn, torch.arange(count)]

    def log_density(self, x: Tensor, t: Tensor | float) -> Tensor:
        return self._joint(x, t).logsumexp(0)

    def posterior(self, x: Tensor, t: Tensor | float) -> Ends:
        shares = self._joint(x, t).softmax(0)  # (K, B): posterior probability of each component
        x0, eps = torch.zeros_like(x), torch.zeros_like(x)
        for share, component in zip(shares, self.components, strict=True):
            share = broadcast_time(x, share)
            mean = component.posterior(x, t)
            x0, eps = x0 + share * mean.x0, eps + share * mean.eps
        return Ends(x0, eps)

    def velocity(self, x: Tensor, at: At) -> Tensor:
        return _velocity(self.posterior(x, at.t))

    def _joint(self, x: Tensor, t: Tensor | float) -> Tensor:
        """log(weight) + log p_t(x | component), (K, B)."""
        pairs = zip(self.weights, self.components, strict=True)
        return torch.stack([math.log(weight) + component.log_density(x, t) for weight, component in pairs])


def _velocity(posterior: Ends) -> Tensor:
    return posterior.eps - posterior.x0


def _like(value: Tensor | float, x: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)
