"""A study's result as JSON: what `sd3demo study NAME --json` prints, and what ships in assets/studies.

Read without torch. A file that is damaged, or is not of this build's study, is passed over with a line in
the log: it is a convenience, and nothing depends on it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sd3demo import __version__
from sd3demo.catalogue import assets, find, fingerprint
from sd3demo.settings import Settings, parse
from sd3demo.studies.study import Column, Json, Row, Scalar, Table, find_study

log = logging.getLogger(__name__)

LARGEST = 1_000_000  # bytes; what is recorded has some ten thousand


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    columns: list[str]
    meanings: dict[str, str]
    units: dict[str, str]
    rows: list[list[bool | int | float | str | None]]
    again: list[dict[str, object]]
    caption: str


class _Result(BaseModel):
    study: str
    settings: dict[str, object]
    weights: dict[str, str]
    version: str
    date: str = ""
    table: _Table


@dataclass(frozen=True)
class RecordedStudy:
    """A table with what it was measured under: settings, hash of the weights by model, and version here.

    `date` is the day as ISO 8601 has it; results from before it was written have none.
    """

    table: Table
    settings: Settings
    weights: Mapping[str, str]
    version: str
    date: str = ""


def result(name: str, settings: Settings, table: Table) -> dict[str, object]:
    """A study's result for programs. Raises Refusal for a model that is not here any more."""
    return {
        "study": name,
        "settings": settings.model_dump(mode="json"),
        "weights": {model: fingerprint(find(model)) for model in find_study(name).models(settings)},
        "version": __version__,
        "date": date.today().isoformat(),
        "table": as_json(table),
    }


def as_json(table: Table) -> dict[str, object]:
    """A table for programs; each row beside the settings that give it again."""
    return {
        "columns": [column.name for column in table.columns],
        "meanings": {column.name: column.meaning for column in table.columns if column.meaning},
        "units": {column.name: column.unit for column in table.columns if column.unit},
        "rows": [list(row.values) for row in table.rows],
        "again": [dict(row.again) for row in table.rows],
        "caption": table.caption,
    }


def place(name: str) -> Path:
    """Where the recorded result of a study ships."""
    return assets() / "studies" / f"{name}.json"


def recorded(name: str) -> RecordedStudy | None:
    """What was recorded of a study; None where nothing was, or nothing that can be read."""
    file = place(name)
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        found = read(json.loads(file.read_text(encoding="utf-8")))
        if found.table.study != name:
            raise ValueError(f"it is of the study {found.table.study!r}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("passed over %s: %s", file, " ".join(str(error).split()))
        return None
    return found


def read(values: object) -> RecordedStudy:
    """A result from its JSON. Raises ValueError with what does not fit."""
    try:
        found = _Result.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from error
    settings = parse(find_study(found.study).settings, found.settings)
    return RecordedStudy(_table(found.study, found.table), settings, found.weights, found.version, found.date)


def _table(study: str, found: _Table) -> Table:
    width = len(found.columns)
    if not found.rows or len(set(found.columns)) != width or any(len(row) != width for row in found.rows):
        raise ValueError("its rows and its columns do not fit together")
    columns = (
        Column(name, found.units.get(name, ""), found.meanings.get(name, "")) for name in found.columns
    )
    rows = (Row(tuple(row), _json(again)) for row, again in zip(found.rows, found.again, strict=True))
    return Table(study, tuple(columns), tuple(rows), found.caption)


def _json(values: Mapping[str, object]) -> Mapping[str, Json]:
    return values  # type: ignore[return-value]  # it came out of JSON


def rounded(table: Table, digits: int = 6) -> Table:
    """The table with its measured figures to so many significant digits."""

    def short(value: Scalar) -> Scalar:
        return float(f"{value:.{digits}g}") if isinstance(value, float) else value

    rows = tuple(Row(tuple(map(short, row.values)), row.again) for row in table.rows)
    return Table(table.study, table.columns, rows, table.caption)
