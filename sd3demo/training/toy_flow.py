"""A rectified flow in the plane, learnt in seconds on a CPU: all of the large one, small enough to see.

The loss is E || v(z_t, t) - (eps - x0) ||^2 with z_t = (1 - t) x0 + t eps and t drawn from a density, SD3
paper, eq. 13 and section 3.1.  One round of reflow (Liu et al., 2022) trains again on the pairs that the flow
itself makes, noise and where it led, which straightens its paths.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sd3demo.errors import Failure
from sd3demo.flow.densities import Density
from sd3demo.flow.grids import time_grid
from sd3demo.flow.path.lengths import PathLength, path_length
from sd3demo.flow.paths import broadcast_time
from sd3demo.flow.solvers import SOLVERS, At, Step
from sd3demo.training.toy_data import Points

STRATA = 8  # levels of t at which the loss is told apart, the last of them t = 1
BATCH = 1024  # points of one training step
LEARNING_RATE = 1e-2  # at the first step; it falls to 0 along a quarter of a cosine
FREQUENCIES = 4  # of t, as the network reads it
EVERY = 50  # steps from one report to the next
# So 7% of the samples of the moons lie off them after 1500 steps (`share_off`); 30% with 256 and 4e-3.

Pairs: TypeAlias = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""A number of points of data with the noise that each is joined to, (count, 2) both."""


class Flow(nn.Module):
    """A small network; `velocity` is a Velocity for x of (B, 2)."""

    def __init__(self, width: int = 96, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(2 + 1 + 2 * FREQUENCIES, width),
                nn.SiLU(),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Linear(width, 2),
            )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        t = t.reshape(-1, 1)  # (B, 1)
        angles = t * math.pi * 2.0 ** torch.arange(FREQUENCIES)
        return self.layers(torch.cat([x, t, angles.sin(), angles.cos()], dim=1))

    @torch.inference_mode()
    def velocity(self, x: Tensor, at: At) -> Tensor:
        return self(x, torch.full((len(x),), at.t))


@dataclass(frozen=True, eq=False)
class Lesson:
    """News of the training after `step` of `count` steps."""

    flow: Flow
    step: int
    count: int
    loss: float
    """The mean since the lesson before, over times of the density."""
    by_t: tuple[float, ...]
    """At t = 1/8, 2/8, ... 1, on the same held-out points each time."""


def independent(data: Points) -> Pairs:
    """Data and noise that know nothing of one another: how a flow is first trained."""

    def pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x0 = data(count, generator)
        return x0, torch.randn(x0.shape, generator=generator)

    return pairs


def reflowed(flow: Flow, *, count: int = 8192, steps: int = 50, seed: int = 1) -> Pairs:
    """Noise and the point to which the flow carries it, drawn from `count` such pairs."""
    noise = torch.randn((count, 2), generator=torch.Generator().manual_seed(seed))
    ends = walk(flow, noise, steps)[-1].x_next

    def pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(noise), (count,), generator=generator)
        return ends[chosen], noise[chosen]

    return pairs


def train(
    flow: Flow, pairs: Pairs, density: Density, *, steps: int = 1500, seed: int = 0
) -> Iterator[Lesson]:
    """Trains the flow in place and reports every 50 steps and at the end; closing it stops the training.

    Raises:
        Failure: the loss is not finite any more.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = pairs(2048, torch.Generator().manual_seed(seed + 1))
    optimiser = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    total, since = 0.0, 0
    for step in range(1, steps + 1):
        loss = velocity_loss(flow, *pairs(BATCH, generator), density.sample((BATCH,), generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        total, since = total + float(loss.detach()), since + 1
        if not math.isfinite(total):
            raise Failure(f"the loss is {total} after {step} steps; try a weaker shift")
        if step % EVERY == 0 or step == steps:
            yield Lesson(flow, step, steps, total / since, losses_by_t(flow, *held_out))
            total, since = 0.0, 0


def velocity_loss(flow: Flow, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """The mean of || v(z_t, t) - (eps - x0) ||^2 over the batch; t is (B,)."""
    along = broadcast_time(x0, t)
    error = flow((1 - along) * x0 + along * eps, t) - (eps - x0)
    return error.square().sum(1).mean()


@torch.inference_mode()
def losses_by_t(flow: Flow, x0: Tensor, eps: Tensor) -> tuple[float, ...]:
    """The loss at each of the eight levels t = 1/8, ... 1 (SD3 paper, B.3)."""
    levels = (torch.full((len(x0),), k / STRATA) for k in range(1, STRATA + 1))
    return tuple(float(velocity_loss(flow, x0, eps, t)) for t in levels)


def walk(flow: Flow, noise: Tensor, steps: int) -> list[Step]:
    """Every step of Euler from the noise, (B, 2), to the data."""
    return list(SOLVERS["euler"](flow.velocity, noise, time_grid(steps)))


def measured(flow: Flow, noise: Tensor) -> PathLength:
    """Length and chord of each path over 50 Euler steps, as table 6 measures them."""
    return path_length(walk(flow, noise, 50))


def share_off(samples: Tensor, data: Points, *, count: int = 4000, seed: int = 1) -> float:
    """The share of samples, (B, 2), that lie off the data; fresh points of the data come to 1%.

    A sample lies on the data where its nearest neighbour among `count` points of them is as near as that of
    99% of other points of the data.
    """
    known, fresh = (data(count, torch.Generator().manual_seed(seed + k)).double() for k in range(2))
    limit = _nearest(fresh, known).quantile(0.99)
    return float((_nearest(samples.double(), known) > limit).double().mean())


def _nearest(points: Tensor, known: Tensor) -> Tensor:
    return torch.cdist(points, known).min(dim=1).values
