"""A sampler that adds noise on its way and has the marginals of the ODE.

The ODE dz = v dt of a flow carries p_1 to p_0 through the marginals p_t. So does, for any rate eta >= 0 and
t from 1 down to 0 in steps h = -dt,

    z <- z - h (v + eta e) + sqrt(2 eta t h) xi,    e = E[eps | z_t = z],    xi ~ N(0, I)

since -e / t is the score of p_t (z_t = (1 - t) x0 + t eps, eq. 13 of the SD3 paper): the drift -eta e, which
is eta t times the score, and the noise of variance 2 eta t h cancel in the Fokker-Planck equation. eta = 0 is
the ODE by Euler steps.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from sd3demo.flow.exact import ExactData
from sd3demo.flow.paths import Ends


def sde_path(
    data: ExactData,
    noise: Tensor,
    times: Sequence[float],
    eta: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the states at all times, (N + 1, B, ...), from noise at the first time on.

    Raises:
        ValueError: eta is negative, or the times do not fall within [0, 1].
    """
    if eta < 0:
        raise ValueError(f"eta is {eta}; it must be 0 or more")
    if not (all(a > b for a, b in pairwise(times)) and times[0] <= 1 and times[-1] >= 0):
        raise ValueError(f"the times run from {times[0]} to {times[-1]}; they must fall within [0, 1]")
    states = [noise]
    for t, after in pairwise(times):
        z, h = states[-1], t - after
        xi = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        states.append(z - h * drift(data.posterior(z, t), eta) + (2 * eta * t * h) ** 0.5 * xi)
    return torch.stack(states)


def drift(ends: Ends, eta: float) -> Tensor:
    """v + eta E[eps | z]: what a step of the SDE goes against."""
    return ends.eps - ends.x0 + eta * ends.eps
