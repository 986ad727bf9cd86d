"""Columns of a study's table as the axes and curves of a chart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sd3demo.plots.chart import COLOURS, Axis, Curve, Kind, Numbers
from sd3demo.studies.study import Scalar, Table

TITLES: Mapping[str, str] = {
    "cfg": "guidance scale",
    "shift": "shift α",
    "t5": "T5",
    "calls": "network evaluations",
}
"""Titles of columns on an axis, where the name is not enough."""


def title_of(column: str) -> str:
    return TITLES.get(column, column)


def only(table: Table, **values: Scalar) -> Table:
    """Return the table's rows with these values."""
    wanted = [(table.column(name), value) for name, value in values.items()]
    rows = tuple(
        row for k, row in enumerate(table.rows) if all(column[k] == value for column, value in wanted)
    )
    return replace(table, rows=rows)


def distinct(table: Table, column: str) -> list[Scalar]:
    """Return the distinct values of a column, in order of appearance."""
    return list(dict.fromkeys(table.column(column)))


def numbers(values: Sequence[Scalar]) -> Numbers:
    """Return a column as numbers; an unknown value or a name is a gap."""
    known = [float(value) if isinstance(value, int | float) else np.nan for value in values]
    return np.array(known, dtype=np.float64)


def named(title: str, names: Sequence[str]) -> Axis:
    """Return a categorical axis; the names stand at 0, 1, 2, ..."""
    return Axis(title, (-0.6, len(names) - 0.4), names=tuple(names))


def axis(table: Table, column: str) -> Axis:
    """Return the axis of a column: numeric, or categorical."""
    values = distinct(table, column)
    if all(isinstance(value, int | float) for value in values):
        return Axis(title_of(column))
    return named(title_of(column), [str(value) for value in values])


def places(table: Table, column: str, names: Sequence[str] = ()) -> Numbers:
    """Return the positions of the rows on the axis of a column."""
    values = table.column(column)
    if names:
        return np.array([names.index(str(value)) for value in values], dtype=np.float64)
    return numbers(values)


def curve(
    name: str,
    table: Table,
    x: Numbers,
    column: str,
    colour: str,
    kind: Kind = "dots",
    *,
    strong: bool = False,
) -> Curve:
    """Return a column over x as a curve, with standard errors where the table has them."""
    errors = f"{column} error"
    has_errors = any(one.name == errors for one in table.columns)
    error = numbers(table.column(errors)) if has_errors else None
    return Curve(name, x, numbers(table.column(column)), colour, kind, strong, error=error)


def shade(index: int) -> str:
    """Return the colour of the curve at an index; grey is kept for references."""
    shades = tuple(COLOURS)[1:]
    return shades[index % len(shades)]
