"""The lines of the forward process through one point of the plane, weighted by their posterior probability.

A line (1 - t) x0 + t eps that is at z at the time t has a slope u = eps - x0, with x0 = z - t u and
eps = z + (1 - t) u (SD3 paper, eq. 13). The marginal velocity is the mean of u over all of them (eq. 6).
Given z, u is normal in each component of a mixture; a few u on an ellipse stand for a component, with its
exact mean and covariance, so that the weighted mean of the lines is the velocity and their weighted variance
the loss that cannot be learned.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture

DIRECTIONS = 8
"""Lines of each component."""


@dataclass(frozen=True, eq=False)
class PosteriorLines:
    """Lines through `z` at the time `t`, from data to noise: K components of N lines each."""

    z: Tensor  # (2,)
    t: float
    x0: Tensor  # (K, N, 2)
    eps: Tensor  # (K, N, 2)
    shares: Tensor  # (K,), the posterior probability of each component
    velocity: Tensor  # (2,), the mean of eps - x0
    variance: float
    """E[|| eps - x0 - v ||^2 | z]."""


def posterior_lines(data: Mixture | Gaussian, z: Tensor, t: float) -> PosteriorLines:
    """Return the lines through a point z, (2,), at the time t in [0, 1].

    Raises:
        ValueError: z is no point of the plane, or t lies outside of [0, 1].
    """
    if z.shape != (2,):
        raise ValueError(f"z has shape {tuple(z.shape)}; give one point of the plane, (2,)")
    if not 0 <= t <= 1:
        raise ValueError(f"t is {t}; it must lie in [0, 1]")
    mixture = data if isinstance(data, Mixture) else Mixture((1.0,), (data,))
    x, angles = z[None], 2 * math.pi * torch.arange(DIRECTIONS, dtype=z.dtype) / DIRECTIONS
    circle = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], 1)  # mean 0, covariance 1
    slopes = torch.stack(
        [
            component.mean_target(x, t) + circle * component.target_std(x, t)
            for component in mixture.components
        ]
    )  # (K, N, 2)
    ends = mixture.posterior(x, t)
    return PosteriorLines(
        z,
        t,
        z - t * slopes,
        z + (1 - t) * slopes,
        mixture.shares(x, t)[:, 0],
        (ends.eps - ends.x0)[0],
        float(mixture.target_variance(x, t)),
    )
