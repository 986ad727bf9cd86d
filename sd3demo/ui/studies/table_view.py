"""A study's table on the page and as a file: a value stands beside its standard error."""

import csv
import io
import math
from html import escape

from sd3demo.studies.study import Column, Scalar, Table

ERROR = " error"


def listing(table: Table) -> str:
    """The table as HTML; its caption below the numbers says what they are."""
    shown = [(k, column) for k, column in enumerate(table.columns) if not column.name.endswith(ERROR)]
    errors = {column.name: k for k, column in enumerate(table.columns)}
    heads = "".join(f"<th scope='col'{_title(column)}>{_head(column)}</th>" for _, column in shown)
    rows = "".join(
        "<tr>"
        + "".join(_cell(row.values, k, errors.get(column.name + ERROR)) for k, column in shown)
        + "</tr>"
        for row in table.rows
    )
    return (
        f"<div class='listing study-table'><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class='caption'>{escape(table.caption)}</p>"
        f"<p class='save'><button type='button' id='study-{escape(table.study)}-csv' "
        f"data-csv='{escape(csv_name(table.study))}'>Table as CSV</button></p>"
    )


def csv_name(study: str) -> str:
    """What the table of a study is called as a file."""
    return f"{study}-table"


def as_csv(table: Table) -> str:
    """Every column in full, a row for each row."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow([f"{one.name} [{one.unit}]" if one.unit else one.name for one in table.columns])
    rows.writerows(["" if value is None else value for value in row.values] for row in table.rows)
    return file.getvalue()


def _head(column: Column) -> str:
    unit = f" <small>{escape(column.unit)}</small>" if column.unit else ""
    return f"{escape(column.name)}{unit}"


def _title(column: Column) -> str:
    return f' title="{escape(column.meaning)}"' if column.meaning else ""


def _cell(values: tuple[Scalar, ...], place: int, error: int | None) -> str:
    value = values[place]
    if isinstance(value, str):
        return f"<th scope='row'>{escape(value)}</th>"
    spread = values[error] if error is not None else None
    if isinstance(value, int | float) and isinstance(spread, float) and spread > 0:
        return f"<td>{with_error(value, spread)}</td>"
    text = written(value)
    return f"<td>{text}{f' ± {written(spread)}' if text and spread is not None else ''}</td>"


def with_error(value: float, error: float) -> str:
    """A value and its standard error, both to the error's first digit: 0.51 ± 0.01, 91 ± 2."""
    places = max(-math.floor(math.log10(error)), 0)
    if round(error, places) >= 10 ** (1 - places):  # 0.096 is 0.1, and its first digit a place further left
        places = max(places - 1, 0)
    return f"{value:.{places}f} ± {error:.{places}f}"


def written(value: Scalar) -> str:
    """A value for people; nothing where it is unknown."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
