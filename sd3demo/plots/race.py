"""Charts of the race: what fewer steps cost each formulation, and their mean ranks."""

from collections.abc import Callable, Mapping

import numpy as np

from sd3demo.plots.chart import Axis, Chart, Curve, Kind
from sd3demo.plots.tables import curve, named, numbers, only, places
from sd3demo.studies.study import Scalar, Table

GROUPS: Mapping[str, str] = {"rf": "green", "eps": "orange", "v": "violet", "edm": "blue"}
"""Colours by the first word of a formulation's name, as figure 3 has them by group."""
BEST = 2  # of each group that are drawn over the steps


def steps(table: Table) -> Chart:
    """Plot the distance to the data against the steps, of each group the best formulations alone."""
    chosen = _best(table)
    floor = numbers(table.column("floor"))
    x = numbers([value for value in table.column("steps") if isinstance(value, int)])
    ends = np.array([x.min(), x.max()])
    curves = []
    for name in chosen:
        part = _counted(only(table, formulation=name))
        group = _group(name)
        first = next(one for one in chosen if _group(one) == group) == name
        kind: Kind = "dots" if first else "dashed"
        drawn = curve(str(name), part, places(part, "steps"), "distance", GROUPS[group], kind, strong=first)
        curves.append(drawn)
    line = Curve("fresh data", ends, np.full(2, floor.mean()), "grey", "dotted")
    return Chart(
        "race-steps",
        "What fewer steps cost, by formulation",
        "as SD3 figure 3, here in the plane; best of a group",
        Axis("steps", ticks=tuple(x[: len(set(x))].tolist())),
        Axis("sliced Wasserstein distance", log=True),
        (*curves, line),
    )


def ranks(table: Table) -> Chart:
    """Plot the mean rank of each formulation over all numbers of steps, the best first."""
    whole = only(table, steps="all")
    order = np.argsort(numbers(whole.column("rank")), kind="stable")
    rows = [whole.rows[int(k)] for k in order]
    ordered = Table(table.study, table.columns, tuple(rows), table.caption)
    names = [str(name) for name in ordered.column("formulation")]
    x = places(ordered, "formulation", names)
    return Chart(
        "race-ranks",
        "Mean rank by formulation; 1 is best",
        "as SD3 table 1, here in the plane; bars: ± s.e.",
        named("formulation", names),
        Axis("mean rank"),
        (curve("mean rank", ordered, x, "rank", "green", "bars"),),
    )


def _best(table: Table) -> list[Scalar]:
    """The formulations with the least mean distance, two of each group."""
    whole = only(table, steps="all")
    distances = dict(zip(whole.column("formulation"), numbers(whole.column("distance")), strict=True))
    by_group: dict[str, list[Scalar]] = {}
    for name in sorted(distances, key=lambda one: distances[one]):
        by_group.setdefault(_group(name), []).append(name)
    return [name for group in GROUPS for name in by_group.get(group, [])[:BEST]]


def _group(name: Scalar) -> str:
    return str(name).partition("/")[0].partition("(")[0]


def _counted(table: Table) -> Table:
    """The rows of a number of steps, without those over all."""
    rows = tuple(
        row for row, value in zip(table.rows, table.column("steps"), strict=True) if isinstance(value, int)
    )
    return Table(table.study, table.columns, rows, table.caption)


CHARTS: Mapping[str, Callable[[Table], Chart]] = {"race-steps": steps, "race-ranks": ranks}
"""Chart by name."""
