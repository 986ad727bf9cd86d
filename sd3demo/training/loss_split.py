"""The velocity loss of a flow in the plane in two parts: what cannot be learned, and what is left to learn.

E || v_theta - (eps - x0) ||^2 = E[Var(eps - x0 | z_t)] + E || v_theta - v ||^2 with the exact velocity v, the
mean of eps - x0 given z_t. The first part belongs to the data alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sd3demo.flow.exact import ExactData
from sd3demo.flow.solvers import At, Velocity

COUNT = 4096
"""Points at each level."""


@dataclass(frozen=True)
class LossSplit:
    """The loss by t, as two sums over the coordinates."""

    levels: tuple[float, ...]
    irreducible: tuple[float, ...]
    excess: tuple[float, ...]


def split_loss(velocity: Velocity, data: ExactData, levels: Sequence[float], *, seed: int = 3) -> LossSplit:
    """Return both parts of a velocity's loss at each level of t, on points drawn from the exact data."""
    generator = torch.Generator().manual_seed(seed)
    x0 = data.sample(COUNT, generator)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    irreducible, excess = [], []
    for index, t in enumerate(levels):
        z, at = (1 - t) * x0 + t * eps, At(t, index, len(levels))
        irreducible.append(float(data.target_variance(z, t).mean()))
        excess.append(float((velocity(z, at) - data.velocity(z, at)).square().sum(1).mean()))
    return LossSplit(tuple(levels), tuple(irreducible), tuple(excess))
