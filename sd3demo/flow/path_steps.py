"""Euler steps along any forward path, with a field that is exact (SD3 paper, sections 2 and 3, eq. 1 and 10).

Each path is stepped in its own variable: t, or for EDM the noise level sigma = b_t, at the times of Karras et
al. (2022). Between one pair of ends the rectified flow and EDM are straight lines, which Euler follows
without an error; the others are curves.

The posterior on any path is that of the rectified flow: with c = a_t + b_t the point z / c lies on the
straight line between the same ends, at the time b_t / c.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from sd3demo.flow.exact import ExactData
from sd3demo.flow.paths import EDM, Cosine, Ends, Path
from sd3demo.flow.solvers import SOLVERS

LARGEST, SMALLEST, RHO = 80.0, 0.002, 7  # EDM's noise levels and their spacing
FIRST = 0.999  # where the cosine path begins: at t = 1 it holds no data, and eps says nothing of them
FINE = 40  # steps of the reference

MeanEnds: TypeAlias = Callable[[Tensor, Tensor], Ends]
"""Both ends of the path through z, (B, 2), at a time t, as one number."""


def path_times(path: Path, steps: int) -> Tensor:
    """Where a sampler stops, from noise to data, (steps + 1,), float64; the last is 0.

    They are evenly spaced, for EDM those of Karras et al. between noise levels that training sees as often as
    his, 80 and 0.002.
    """
    if not isinstance(path, EDM):
        first = FIRST if isinstance(path, Cosine) else 1.0
        return torch.linspace(first, 0, steps + 1, dtype=torch.float64)
    usual = EDM()
    rarest = [(math.log(level) - usual.mean) / usual.std for level in (LARGEST, SMALLEST)]
    high, low = (math.exp(path.mean + path.std * deviate) for deviate in rarest)
    high, low = min(high, LARGEST) ** (1 / RHO), max(low, SMALLEST) ** (1 / RHO)
    levels = torch.linspace(high, low, steps, dtype=torch.float64) ** RHO
    times = torch.special.ndtr((levels.log() - path.mean) / path.std)
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def euler_path(path: Path, ends: MeanEnds, start: Tensor, times: Tensor) -> Tensor:
    """Every state of Euler from z = start, (B, 2), over the times: (len(times), B, 2)."""
    states = [start]
    for t, s in pairwise(times):
        states.append(_step(path, states[-1], ends(states[-1], t), t, s))
    return torch.stack(states)


def first_state(path: Path, noise: Tensor, times: Tensor) -> Tensor:
    """The state at the first time, where the data count for nothing."""
    return path.b(times[0]) * noise


def exact_ends(path: Path, data: ExactData) -> MeanEnds:
    """E[x0 | z_t] and E[eps | z_t] on any path."""

    def ends(z: Tensor, t: Tensor) -> Ends:
        a, b = path.a(t), path.b(t)
        return data.posterior(z / (a + b), b / (a + b))

    return ends


def euler_errors(path: Path, data: ExactData, noise: Tensor, counts: Sequence[int]) -> Tensor:
    """How far Euler's ends are from those of the exact flow, root mean square over the noise, (counts,)."""
    first = path_times(path, counts[0])
    start = first_state(path, noise, first)
    exact = exact_end(path, data, start, first[0])
    errors = []
    for steps in counts:  # all of them begin at the same time
        times = path_times(path, steps)
        reached = euler_path(path, exact_ends(path, data), start, times)[-1]
        errors.append((reached - exact).square().sum(-1).mean().sqrt())
    return torch.stack(errors)


def exact_end(path: Path, data: ExactData, z: Tensor, t: Tensor) -> Tensor:
    """Where the exact flow leads from z at a time t, by RK4 on the rectified flow, small steps last."""
    a, b = path.a(t), path.b(t)
    grid = float(b / (a + b)) * np.linspace(1, 0, FINE + 1) ** 2
    *_, last = SOLVERS["rk4"](data.velocity, z / (a + b), grid)
    return last.x_next


def _step(path: Path, z: Tensor, ends: Ends, t: Tensor, s: Tensor) -> Tensor:
    if isinstance(path, EDM):
        return z + (path.b(s) - path.b(t)) * ends.eps
    da, db = path.slopes(t)
    return z + (s - t) * (da * ends.x0 + db * ends.eps)
