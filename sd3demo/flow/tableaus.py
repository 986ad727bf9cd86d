"""Explicit Runge-Kutta methods as data that checks itself: a mistyped coefficient cannot be imported.

The tableaus and their order conditions are Butcher's (Hairer, Norsett and Wanner, Solving Ordinary
Differential Equations I, section II.1 and table II.2.2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method: stage i stands at t + nodes[i] h, reached along stages[i] . k.

    Raises:
        ValueError: the stages are not explicit, a row does not sum to its node, or an order condition up to
            the claimed order (1 to 4) fails.
    """

    name: str
    order: int
    nodes: tuple[float, ...]  # c
    stages: tuple[tuple[float, ...], ...]  # a, the rows below the diagonal
    weights: tuple[float, ...]  # b

    def __post_init__(self) -> None:
        count = len(self.weights)
        if len(self.nodes) != count or [len(row) for row in self.stages] != list(range(count)):
            raise ValueError(
                f"the tableau {self.name!r} is not explicit: with {count} weights it needs {count} nodes and"
                f" {count} rows of 0 to {count - 1} coefficients, one for each earlier stage"
            )
        if self.order not in range(1, 5):
            raise ValueError(f"the tableau {self.name!r} claims order {self.order}; 1 to 4 can be checked")
        for i, (row, node) in enumerate(zip(self.stages, self.nodes, strict=True)):
            self._check(f"row {i}", sum(row), node)
        for order, condition, found, needed in self._order_conditions():
            if order <= self.order:
                self._check(condition, found, needed)

    def _check(self, what: str, found: float, needed: float) -> None:
        if abs(found - needed) > 1e-12:
            raise ValueError(
                f"the tableau {self.name!r} claims order {self.order}, but {what} sums to {found:.6g};"
                f" it must sum to {needed:.6g}"
            )

    def _order_conditions(self) -> Iterator[tuple[int, str, float, float]]:
        """Butcher's conditions, one for each rooted tree of up to four nodes (table II.2.2)."""
        b, c = self.weights, self.nodes
        ac, acc = self._times(c), self._times([node**2 for node in c])
        yield 1, "b", sum(b), 1
        yield 2, "b c", _dot(b, c), 1 / 2
        yield 3, "b c^2", _dot(b, [node**2 for node in c]), 1 / 3
        yield 3, "b A c", _dot(b, ac), 1 / 6
        yield 4, "b c^3", _dot(b, [node**3 for node in c]), 1 / 4
        yield 4, "b (c * A c)", _dot(b, [node * entry for node, entry in zip(c, ac, strict=True)]), 1 / 8
        yield 4, "b A c^2", _dot(b, acc), 1 / 12
        yield 4, "b A A c", _dot(b, self._times(ac)), 1 / 24

    def _times(self, column: Sequence[float]) -> list[float]:
        return [_dot(row, column[: len(row)]) for row in self.stages]


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


TABLEAUS = (
    Tableau("euler", order=1, nodes=(0,), stages=((),), weights=(1,)),
    Tableau("midpoint", order=2, nodes=(0, 1 / 2), stages=((), (1 / 2,)), weights=(0, 1)),
    Tableau("heun", order=2, nodes=(0, 1), stages=((), (1,)), weights=(1 / 2, 1 / 2)),
    Tableau(
        "rk4",
        order=4,
        nodes=(0, 1 / 2, 1 / 2, 1),
        stages=((), (1 / 2,), (0, 1 / 2), (0, 0, 1)),
        weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    ),
)
