"""Guidance: the branches of a model, its velocities under several conditionings, reduced to one velocity.

Classifier-free guidance (Ho and Salimans, 2022) is v = v_u + w (v_c - v_u), here with an interval in t
outside of which w = 1 (Kynkaanniemi et al., 2024), and with SD3.5's skip-layer guidance as a third branch:
v += w_skip (v_c - v_s), where v_s is the conditional velocity with some of the network's layers left out.

A branch that would be multiplied by zero is not evaluated, so a plan can count the network's work exactly:
sum(len(guidance.wanted(at)) for at in solver.visits(grid)).  No torch is needed for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sd3demo.flow.solvers import At, Velocity

if TYPE_CHECKING:
    from torch import Tensor

Branch: TypeAlias = Literal["conditional", "unconditional", "skipped"]
Interval: TypeAlias = tuple[float, float]

EVERYWHERE: Interval = (0.0, 1.0)


class Branches(Protocol):
    """One network call: a velocity (B, ...) for each branch wanted, in the order in which they are named."""

    def __call__(self, x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class Guidance:
    """How branches become one velocity; intervals are closed, in t, as (low, high).

    scale is w: 1 is the conditional velocity alone, and the only scale that asks for no unconditional one.
    Called with velocities in the order of `wanted(at)`, it returns the guided one; hand it to a multistep
    solver as `regime=guidance.wanted`, so that the solver restarts where a branch comes or goes.

    Raises:
        ValueError: an interval is not 0 <= low <= high <= 1, scale is not finite, or skip_scale is negative.
    """

    scale: float
    interval: Interval = EVERYWHERE
    skip_scale: float = 0.0
    skip_interval: Interval = EVERYWHERE

    def __post_init__(self) -> None:
        for name, (low, high) in (("interval", self.interval), ("skip_interval", self.skip_interval)):
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"{name} is ({low}, {high}); it must be (low, high) in t with 0 <= low <= high <= 1:"
                    " (0, 1) guides everywhere"
                )
        if not math.isfinite(self.scale):
            raise ValueError(f"scale is {self.scale}; it must be finite: 1 for no guidance, or such as 5")
        if not (math.isfinite(self.skip_scale) and self.skip_scale >= 0):
            raise ValueError(f"skip_scale is {self.skip_scale}; it must be 0 for none or more, such as 2.8")

    def wanted(self, at: At) -> tuple[Branch, ...]:
        """The branches that the velocity at `at` is made of, the conditional one first."""
        branches: tuple[Branch, ...] = ("conditional",)
        if self.scale != 1 and _inside(at.t, self.interval):
            branches += ("unconditional",)
        if self.skip_scale != 0 and _inside(at.t, self.skip_interval):
            branches += ("skipped",)
        return branches

    def __call__(self, velocities: tuple[Tensor, ...], at: At) -> Tensor:
        """The guided velocity (B, ...), from those of `wanted(at)`."""
        named = dict(zip(self.wanted(at), velocities, strict=True))
        conditional = v = named["conditional"]
        if "unconditional" in named:
            v = named["unconditional"] + self.scale * (conditional - named["unconditional"])
        if "skipped" in named:
            v = v + self.skip_scale * (conditional - named["skipped"])
        return v


Witness: TypeAlias = "Callable[[At, Mapping[Branch, Tensor], Tensor], None]"
"""Told at each call of the network where it was asked, what each branch answered, and the guided velocity."""


def guided(branches: Branches, guidance: Guidance, witnesses: Sequence[Witness] = ()) -> Velocity:
    """The one velocity that the solver integrates."""

    def velocity(x: Tensor, at: At) -> Tensor:
        wanted = guidance.wanted(at)
        answers = branches(x, at, wanted)
        v = guidance(answers, at)
        for witness in witnesses:
            witness(at, dict(zip(wanted, answers, strict=True)), v)
        return v

    return velocity


def _inside(t: float, interval: Interval) -> bool:
    low, high = interval
    return low <= t <= high
