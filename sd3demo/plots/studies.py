"""The tables of the studies, drawn. Each chart takes a table and nothing else; its name is a study's."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sd3demo.plots.chart import COLOURS, Axis, Chart, Curve, Kind, Numbers
from sd3demo.studies.study import Scalar, Table

TITLES: Mapping[str, str] = {
    "steps": "steps",
    "shift": "shift α",
    "cfg": "guidance scale",
    "t5": "T5",
    "model": "model",
}
TIME = Axis("time t  (0 data, 1 noise)", (0, 1.05))
SHARE = Axis("share of pictures that are right", (0, 1.02))


def path_length(table: Table) -> Chart:
    """Length and chord against what is varied, over the length of a straight flow."""
    along, x = _along(table)
    ends = np.array([x.min(), x.max()])
    straight = np.full(2, _numbers(table.column("straight"))[0])
    return Chart(
        "path-length",
        f"Path length against {TITLES[table.columns[0].name]}",
        "Σ‖v dt‖, SD3 table 6; dotted: √(2D)",
        along,
        Axis("length in latent space"),
        (
            _curve("path", table, x, "length", "green", strong=True),
            _curve("chord", table, x, "chord", "blue"),
            Curve("straight, √(2D)", ends, straight, "grey", "dotted"),
        ),
    )


def straightness(table: Table) -> Chart:
    """How straight the paths are."""
    along, x = _along(table)
    return Chart(
        "straightness",
        f"Straightness against {TITLES[table.columns[0].name]}",
        "chord / path; 1 is straight, SD3 section 2",
        along,
        Axis("chord / path"),
        (_curve("chord / path", table, x, "straightness", "green", strong=True),),
    )


def _along(table: Table) -> tuple[Axis, Numbers]:
    """The axis of a table's first column: its numbers, or its names at 0, 1, 2, ..."""
    column, values = table.columns[0], table.column(table.columns[0].name)
    title = TITLES.get(column.name, column.name)
    if all(isinstance(value, int | float) for value in values):
        return Axis(title), _numbers(values)
    return named(title, [str(value) for value in values]), np.arange(len(values), dtype=np.float64)


def named(title: str, names: Sequence[str]) -> Axis:
    """An axis of names, which stand at 0, 1, 2, ..."""
    return Axis(title, (-0.6, len(names) - 0.4), names=tuple(names))


def _curve(
    name: str,
    table: Table,
    x: Numbers,
    column: str,
    colour: str,
    kind: Kind = "dots",
    *,
    strong: bool = False,
) -> Curve:
    """A column over x, with its standard errors where the table has them."""
    names = {one.name for one in table.columns}
    errors = _numbers(table.column(f"{column} error")) if f"{column} error" in names else None
    return Curve(name, x, _numbers(table.column(column)), colour, kind, strong, error=errors)


def _numbers(values: Sequence[Scalar]) -> Numbers:
    """A column as numbers; what is unknown is a gap."""
    return np.array([value if isinstance(value, int | float) else np.nan for value in values], np.float64)


def _shade(index: int) -> str:
    """A colour for each of many curves."""
    return tuple(COLOURS)[1:][index % (len(COLOURS) - 1)]


CHARTS: Mapping[str, Callable[[Table], Chart]] = {
    "path-length": path_length,
    "straightness": straightness,
}
"""Chart by name, as a study's `charts` name them."""
