"""Solvers of the probability-flow ODE dz = v dt, from t = 1 (noise) to t = 0 (data), as generators of steps.

With every method the step to t = 0 is an Euler step: it needs no velocity at t = 0, where v = (z - x0) / t is
undefined, and ends at the prediction of the data, x - t v, itself.

Nothing here imports torch at run time: a plan calls `visits` for the times at which the network is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sd3demo.flow.tableaus import TABLEAUS, Tableau

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class At:
    """The state of a solver: the time t, and the step, `index` of `count`, the same in all its stages."""

    t: float
    index: int
    count: int


Velocity: TypeAlias = "Callable[[Tensor, At], Tensor]"
"""v(x, at) = dx/dt, for x and v of one shape (B, ...)."""

Regime: TypeAlias = Callable[[At], Hashable]
"""A label of the field in force at a step; a multistep method restarts where it changes."""


def steady(at: At) -> Hashable:
    """Return one regime for all steps."""
    return "steady"


@dataclass(frozen=True, eq=False)
class Step:
    """One finished step, from x at at.t to x_next at t_next.

    v is the field at (x, at.t), which for Euler alone is the direction of the move; `calls` counts the
    evaluations of the velocity that this step cost.
    """

    at: At
    t_next: float
    x: Tensor  # (B, ...)
    v: Tensor  # (B, ...)
    x_next: Tensor  # (B, ...)
    calls: int

    @property
    def denoised(self) -> Tensor:
        """The prediction of the data, x0 = x - t v (eq. 13 solved for x0)."""
        return self.x - self.at.t * self.v


@dataclass(frozen=True, eq=False)
class Ask:
    """A request of a solver for the velocity at (x, at.t)."""

    x: Tensor  # (B, ...)
    at: At


Moves: TypeAlias = "Generator[Ask | Step, Tensor, None]"
"""A solver as a coroutine: it yields an Ask, is sent the velocity, and yields each Step. So several of them
can share the network's calls."""


class Solver(Protocol):
    """A method of integration: called, it yields one Step for each interval of the grid.

    The grid is checked at the call, before the first step: ValueError unless it holds at least two times in
    [0, 1], strictly decreasing.  All arithmetic is in the dtype of x; velocities are converted to it.
    """

    @property
    def order(self) -> int:
        """p, where the error on a smooth field falls as the p-th power of the step."""
        ...

    def visits(self, grid: Iterable[float], /) -> tuple[At, ...]:
        """Return every time at which the velocity will be evaluated, in order."""
        ...

    def moves(self, x: Tensor, grid: Iterable[float], /, *, regime: Regime = steady) -> Moves:
        """Return the solver as a coroutine, whose velocities the caller evaluates."""
        ...

    def __call__(
        self, velocity: Velocity, x: Tensor, grid: Iterable[float], /, *, regime: Regime = steady
    ) -> Iterator[Step]: ...


def answered(moves: Moves, velocity: Velocity) -> Iterator[Step]:
    """Run a coroutine with one velocity, and yield its steps."""
    item = next(moves, None)
    while item is not None:
        if isinstance(item, Step):
            yield item
            item = next(moves, None)
        else:
            item = moves.send(velocity(item.x, item.at))


@dataclass(frozen=True)
class RungeKutta:
    """The one-step methods. They keep no state between steps, so a change of regime does not matter."""

    tableau: Tableau

    @property
    def order(self) -> int:
        return self.tableau.order

    def visits(self, grid: Iterable[float], /) -> tuple[At, ...]:
        return tuple(stage for at, t_next in _intervals(grid) for stage in self._stages(at, t_next))

    def moves(self, x: Tensor, grid: Iterable[float], /, *, regime: Regime = steady) -> Moves:
        return self._moves(x, _intervals(grid))

    def __call__(
        self, velocity: Velocity, x: Tensor, grid: Iterable[float], /, *, regime: Regime = steady
    ) -> Iterator[Step]:
        return answered(self.moves(x, grid, regime=regime), velocity)

    def _stages(self, at: At, t_next: float) -> tuple[At, ...]:
        nodes = self.tableau.nodes if t_next > 0 else (0.0,)
        # The weighted mean of the ends, and not t + c h, is t_next to the last bit where c is 1.
        return tuple(At((1 - c) * at.t + c * t_next, at.index, at.count) for c in nodes)

    def _moves(self, x: Tensor, intervals: list[tuple[At, float]]) -> Moves:
        for at, t_next in intervals:
            h = t_next - at.t  # negative: time runs down to the data
            slopes: list[Tensor] = []
            for stage, row in zip(self._stages(at, t_next), self.tableau.stages, strict=False):
                v = yield Ask(_advance(x, h, row, slopes), stage)
                slopes.append(v.to(x.dtype))
            weights = self.tableau.weights if t_next > 0 else (1.0,)
            step = Step(at, t_next, x, slopes[0], _advance(x, h, weights, slopes), len(slopes))
            yield step
            x = step.x_next


@dataclass(frozen=True)
class AdamsBashforth2:
    """The two-step Adams-Bashforth method for unequal steps: second order at the price of Euler.

    The slope is the line through the last two velocities, at the middle of the step:
    v + (h / 2 h_before) (v - v_before).  The first step is Euler's, and so is the first one after the regime
    changes: a line through the velocities of two fields means nothing.
    """

    @property
    def order(self) -> int:
        return 2

    def visits(self, grid: Iterable[float], /) -> tuple[At, ...]:
        return tuple(at for at, _ in _intervals(grid))

    def moves(self, x: Tensor, grid: Iterable[float], /, *, regime: Regime = steady) -> Moves:
        return self._moves(x, _intervals(grid), regime)

    def __call__(
        self, velocity: Velocity, x: Tensor, grid: Iterable[float], /, *, regime: Regime = steady
    ) -> Iterator[Step]:
        return answered(self.moves(x, grid, regime=regime), velocity)

    def _moves(self, x: Tensor, intervals: list[tuple[At, float]], regime: Regime) -> Moves:
        before: tuple[Hashable, float, Tensor] | None = None  # the last step's regime, length and velocity
        for at, t_next in intervals:
            h = t_next - at.t
            v = (yield Ask(x, at)).to(x.dtype)
            label = regime(at)
            slope = v
            if before is not None and before[0] == label and t_next > 0:
                _, h_before, v_before = before
                slope = v + h / (2 * h_before) * (v - v_before)
            step = Step(at, t_next, x, v, x + h * slope, 1)
            yield step
            x, before = step.x_next, (label, h, v)


def _intervals(grid: Iterable[float]) -> list[tuple[At, float]]:
    """Check the grid and return each step's start and end, as Python floats, which keep the dtype of x."""
    times = [float(t) for t in grid]
    count = len(times) - 1
    if count < 1:
        raise ValueError(f"the grid holds {len(times)} times; a step needs two, such as (1.0, 0.0)")
    if not (times[0] <= 1 and times[-1] >= 0 and all(t > t_next for t, t_next in pairwise(times))):
        raise ValueError(
            f"the grid runs from {times[0]:.6g} to {times[-1]:.6g}; its times must lie in [0, 1] and strictly"
            f" decrease, noise first: try time_grid({count})"
        )
    return [(At(t, index, count), t_next) for index, (t, t_next) in enumerate(pairwise(times))]


def _advance(x: Tensor, h: float, row: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """x + h sum(row * slopes), skipping the zeros that fill most of a tableau."""
    for coefficient, slope in zip(row, slopes, strict=True):
        if coefficient:
            x = x + h * coefficient * slope
    return x


SOLVERS: Mapping[str, Solver] = {tableau.name: RungeKutta(tableau) for tableau in TABLEAUS} | {
    "ab2": AdamsBashforth2()
}
