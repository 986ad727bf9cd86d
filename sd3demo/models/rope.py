"""Rotary position embedding (Su et al., 2021) beyond the sizes in training, for every family that has it.

Frequency k of an axis of d channels turns by omega_k = theta^(-2k/d) s^(-e) from patch to patch, where s is
how many times longer the axis is than in training and e what a policy of `flow.extrapolation.tuning` says at
the rank 2k/d. At s = 1 all policies are the plain frequencies to the last bit.

Text has a position too, so absolute positions count: a picture starts at 0 and is never centred.
"""

import torch
from torch import Tensor

from sd3demo.flow.extrapolation.alignment import Bundling
from sd3demo.flow.extrapolation.tuning import POSITIONS, Toolkit, widened_rank

THETA = 10_000.0


def exponents(dim: int, *, policy: str, scale: float, ntk: float = 1.0, t: float = 1.0) -> tuple[float, ...]:
    """Return e of each of the dim / 2 frequencies; all 0 where the axis is not longer than in training."""
    if scale <= 1:
        return (0.0,) * (dim // 2)
    exponent = POSITIONS[policy]
    return tuple(exponent(t, widened_rank(rank / dim, scale, ntk)) for rank in range(0, dim, 2))


def angles(
    positions: Tensor,
    dim: int,
    *,
    policy: str = "extend",
    scale: float = 1.0,
    ntk: float = 1.0,
    t: float = 1.0,
    theta: float = THETA,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return the angles (N, dim / 2) of positions (N,) along an axis of `dim` channels, in that precision.

    `ntk` widens the base beside the scale; `t` is the time, for the policies that vary with it.
    """
    frequencies = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=dtype) / dim))
    found = exponents(dim, policy=policy, scale=scale, ntk=ntk, t=t)
    if any(found):
        frequencies = frequencies * torch.tensor([scale**-e for e in found], dtype=dtype)
    return torch.outer(positions.to(dtype), frequencies)


def patch_positions(count: int, *, shifted: bool = False) -> Tensor:
    """Return the positions of `count` patches along an axis; shifted by half a patch, one more from -1/2."""
    return torch.arange(count + shifted, dtype=torch.float64) - shifted / 2


def side_angles(
    axis: int,
    size: tuple[int, int],
    native: tuple[int, int],
    dim: int,
    toolkit: Toolkit,
    *,
    t: float,
    shifted: bool,
    dtype: torch.dtype,
    bundling: Bundling | None = None,
) -> Tensor:
    """Return the angles (n, dim / 2) of a picture's patches along its rows, axis 0, or its columns, 1.

    `size` and `native` are counted in patches; a native side of 0 is the picture's own. Patches in bundles
    turn as in training, by the number of their bundle.
    """
    if bundling is not None:
        places = torch.tensor(bundling.along(axis, size[axis], shifted=shifted), dtype=torch.float64)
        return angles(places, dim, dtype=dtype)
    return angles(
        patch_positions(size[axis], shifted=shifted),
        dim,
        policy=toolkit.positions,
        scale=size[axis] / (native[axis] or size[axis]),
        ntk=toolkit.ntk,
        t=t,
        dtype=dtype,
    )


def turned(angle: Tensor) -> Tensor:
    """Return e^(i angle), complex."""
    return torch.polar(torch.ones_like(angle), angle)
