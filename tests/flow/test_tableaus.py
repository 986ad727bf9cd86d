"""A tableau with any one coefficient mistyped must not be constructible."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from sd3demo.flow.tableaus import TABLEAUS, Tableau

COEFFICIENTS = [
    (tableau, part, i, j)
    for tableau in TABLEAUS
    for part in ("nodes", "weights", "stages")
    for i, row in enumerate(getattr(tableau, part))
    for j in (range(len(row)) if part == "stages" else [0])
]


@pytest.mark.parametrize(
    ("tableau", "part", "i", "j"), COEFFICIENTS, ids=lambda value: getattr(value, "name", str(value))
)
def test_a_mistyped_coefficient_is_refused(tableau: Tableau, part: str, i: int, j: int) -> None:
    entries = list(getattr(tableau, part))
    entries[i] = (
        tuple(a + 0.01 * (k == j) for k, a in enumerate(entries[i]))
        if part == "stages"
        else entries[i] + 0.01
    )
    with pytest.raises(ValueError, match=f"the tableau '{tableau.name}' claims order {tableau.order}, but "):
        replace(tableau, **{part: tuple(entries)})


@pytest.mark.parametrize("tableau", TABLEAUS, ids=lambda tableau: tableau.name)
def test_a_tableau_cannot_claim_more_than_its_order(tableau: Tableau) -> None:
    with pytest.raises(ValueError, match=f"claims order {tableau.order + 1}"):
        replace(tableau, order=tableau.order + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"stages": ((), (1 / 2,), (1 / 2, 0), (0, 0, 1))},
        {"nodes": (0, 1, 1 / 2, 1), "stages": ((), (1,), (0, 1 / 2), (0, 0, 1))},
    ],
    ids=["only the middle stages' rows are wrong", "only a node is misplaced"],
)
def test_rows_that_sum_to_their_nodes_are_not_enough(change: dict) -> None:
    rk4 = TABLEAUS[-1]
    with pytest.raises(ValueError, match="must sum to"):
        replace(rk4, **change)


def conditions(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Butcher's eight sums up to order four, each scaled to be 1."""
    c = a.sum(1)
    sums = [b.sum(), b @ c, b @ c**2, b @ a @ c, b @ c**3, b @ (c * (a @ c)), b @ a @ c**2, b @ a @ a @ c]
    return np.array(sums) * [1, 2, 3, 6, 4, 8, 12, 24]


@pytest.mark.parametrize("broken", range(8))
def test_each_order_condition_is_checked(broken: int) -> None:
    """A method found by least squares that meets all of the conditions but one."""
    below = np.tril_indices(4, -1)
    goal = np.ones(8)
    goal[broken] = 1.05

    def unpacked(unknowns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = np.zeros((4, 4))
        a[below] = unknowns[:6]
        return a, unknowns[6:]

    start = np.random.default_rng(broken).normal(size=10) * 0.1
    rk4 = TABLEAUS[-1]
    start += [entry for row in rk4.stages for entry in row] + list(rk4.weights)
    found = least_squares(
        lambda unknowns: conditions(*unpacked(unknowns)) - goal, start, xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    a, b = unpacked(found.x)
    np.testing.assert_allclose(conditions(a, b), goal, atol=1e-13)
    stages = tuple(tuple(row[:i]) for i, row in enumerate(a.tolist()))
    with pytest.raises(ValueError, match="must sum to"):
        Tableau("found", order=4, nodes=tuple(a.sum(1)), stages=stages, weights=tuple(b))


def test_an_implicit_method_is_refused() -> None:
    with pytest.raises(ValueError, match="'implicit' is not explicit: with 1 weights it needs"):
        Tableau("implicit", order=1, nodes=(1,), stages=((1,),), weights=(1,))


def test_a_third_order_method_is_accepted_as_such_and_not_as_a_fourth() -> None:
    kutta = Tableau(
        "kutta", order=3, nodes=(0, 1 / 2, 1), stages=((), (1 / 2,), (-1, 2)), weights=(1 / 6, 2 / 3, 1 / 6)
    )
    with pytest.raises(ValueError, match="claims order 4"):
        replace(kutta, order=4)
