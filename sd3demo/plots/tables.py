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
    "calls": "times that the network was asked",
}
"""What the columns are called on an axis, where their own name does not say it."""


def title_of(column: str) -> str:
    return TITLES.get(column, column)


def only(table: Table, **values: Scalar) -> Table:
    """The rows that have these values."""
    wanted = [(table.column(name), value) for name, value in values.items()]
    rows = tuple(
        row for k, row in enumerate(table.rows) if all(column[k] == value for column, value in wanted)
    )
    return replace(table, rows=rows)


def distinct(table: Table, column: str) -> list[Scalar]:
    """The values of a column, each once, as they first come."""
    return list(dict.fromkeys(table.column(column)))


def numbers(values: Sequence[Scalar]) -> Numbers:
    """A column as numbers; what is unknown, or a name, is a gap."""
    known = [float(value) if isinstance(value, int | float) else np.nan for value in values]
    return np.array(known, dtype=np.float64)


def named(title: str, names: Sequence[str]) -> Axis:
    """An axis of names, which stand at 0, 1, 2, ..."""
    return Axis(title, (-0.6, len(names) - 0.4), names=tuple(names))


def axis(table: Table, column: str) -> Axis:
    """The axis of a column: of its numbers, or of its names."""
    values = distinct(table, column)
    if all(isinstance(value, int | float) for value in values):
        return Axis(title_of(column))
    return named(title_of(column), [str(value) for value in values])


def places(table: Table, column: str, names: Sequence[str] = ()) -> Numbers:
    """Where the rows stand along a column: at its number, or at the place of its name."""
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
    """A column over x, with its standard errors where the table has them."""
    errors = f"{column} error"
    has_errors = any(one.name == errors for one in table.columns)
    error = numbers(table.column(errors)) if has_errors else None
    return Curve(name, x, numbers(table.column(column)), colour, kind, strong, error=error)


def shade(index: int) -> str:
    """A colour for each of several curves; grey is kept for what is beside the point."""
    shades = tuple(COLOURS)[1:]
    return shades[index % len(shades)]
