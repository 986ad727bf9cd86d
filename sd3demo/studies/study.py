"""What a study is: settings, cells to measure, and the table that their raw values make. It knows no page.

A study is one file with a `STUDY` and one line in `STUDIES`. Its cells are measured one after another, each
is kept as soon as it is measured, and the table is made of what was kept: so a study that was stopped goes
on where it stood, another n extends it, and studies that ask for the same measurement share it.

A cell is known by all that its values depend on: the measurement and its version, what was given to it, and
the weights of the model. Of a request it is given what differs from the defaults, so that a new setting
leaves the keys of old cells as they are; where a default changes, the versions must. Nothing heavy is
imported before the first cell is measured.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sd3demo.catalogue import find, fingerprint
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, Settings
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.studies.cache import ResultCache
from sd3demo.studies.stoppable import stoppable

if TYPE_CHECKING:
    from sd3demo.engine import Engine

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Scalar: TypeAlias = bool | int | float | str | None
Raw: TypeAlias = Mapping[str, Json]
"""What was measured of a cell, as JSON."""

STUDIES: Mapping[str, str] = {
    "path-length": "How long and how straight the way from noise to picture is (SD3, table 6).",
    "velocity-loss": "Held-out loss by t, at the native size and larger (SD3, B.3; I-Max, figure 9).",
    "few-steps": "What few calls of the network cost, by solver (SD3, table 6).",
    "score": "How often pictures are what their prompts say, by category (SD3, table 5).",
    "score-steps": "What fewer steps cost the rectified flow; SD3's figure 3 compares formulations.",
    "score-cfg": "What guidance buys, and when it is too much.",
    "score-shift": "Which shift each size of picture wants (SD3, figure 6).",
    "t5-off": "What breaks without T5, in its three meanings (SD3, figures 7 and 9).",
    "race": "Formulations and densities trained in the plane (SD3, table 1, figure 3).",
    "depth": "Held-out loss, score and path length by depth (SD3, table 6, figure 8).",
    "imax-ablation": "What each part of projected flow does, taken away (I-Max, figures 4 and 5).",
    "imax-methods": "Projected flow beside its rivals (I-Max, figures 7 and 8).",
    "imax-scale": "Up to which scale larger pictures gain (I-Max, figure 6).",
    "imax-steps": "Larger pictures in few steps, and their cost (I-Max, figure 10).",
}
"""Name and purpose of each study; `_module` says which file holds its `STUDY`."""


GROUPS = ("imax", "score")  # studies that share a folder


@dataclass(frozen=True)
class Measurement:
    """How a cell is measured: `take` sees the cell and nothing else, so that equal cells have equal values.

    Another `version` measures anew what was kept under an older one.
    """

    name: str
    version: int
    take: Callable[[Cell, Engine], Raw]


@dataclass(frozen=True)
class Cell:
    """One unit of work. `given` is all that its values depend on, beside the measurement and the weights.

    `arm` is its place in the study's table: equal cells of two arms are measured once. `model` is empty for a
    measurement that asks no model.
    """

    measurement: Measurement
    model: str
    given: Mapping[str, Json]
    arm: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A cell with its raw values; the `done`-th of `count`, `seconds` after the start.

    `fresh` is whether it was measured now and not kept from before; `left` are the seconds that the rest
    should take at the pace so far.
    """

    cell: Cell
    raw: Raw
    done: int
    count: int
    fresh: bool
    seconds: float
    left: float


@dataclass(frozen=True)
class Column:
    """A column of a table, with its unit where it has one and a sentence that says what it is."""

    name: str
    unit: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Row:
    """A row's values, and the fewest settings under which the same study gives this row again."""

    values: tuple[Scalar, ...]
    again: Mapping[str, Json]


@dataclass(frozen=True)
class Table:
    """The result of a study."""

    study: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str

    def column(self, name: str) -> tuple[Scalar, ...]:
        """One column's values, from the first row to the last."""
        (index,) = (index for index, column in enumerate(self.columns) if column.name == name)
        return tuple(row.values[index] for row in self.rows)


@dataclass(frozen=True)
class Study:
    """An experiment. All three functions take the study's own settings first.

    `cells` are ordered so that any first part of them gives a fair table; `table` takes any part of what
    they gave, at least one, and leaves out rows of which nothing is known yet. `models` names all models
    that are asked. `charts` are names of `plots.studies.CHARTS`, each of which draws the table.
    """

    settings: type[Settings]
    models: Callable[..., Sequence[str]]
    cells: Callable[..., Sequence[Cell]]
    table: Callable[..., Table]
    charts: tuple[str, ...]


StudyEvent: TypeAlias = "Measured | Table"


def find_study(name: str) -> Study:
    """The study of a name. Raises Refusal with those that exist."""
    if name not in STUDIES:
        raise Refusal(f"unknown study {name!r}; choose one of {', '.join(STUDIES)}")
    study: Study = import_module(f"sd3demo.studies.{_module(name)}").STUDY
    return study


def _module(name: str) -> str:
    """Below sd3demo.studies: imax-scale is imax.scale, score is score.score, t5-off is t5_off."""
    group, _, rest = name.partition("-")
    if group in GROUPS:
        return f"{group}.{rest.replace('-', '_') or group}"
    return name.replace("-", "_")


def run(
    study: Study,
    settings: Settings,
    engine: Engine,
    keep: Path | None,
    *,
    anew: bool = False,
    limit: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Generator[StudyEvent, None, None]:
    """Each cell as it is measured, or found under `keep`, and at last the table.

    To stop, close the generator between two cells, or let `stop` say so between two steps of one, which ends
    it with a Failure: results so far stay cached. `anew` measures cached cells again; the cache holds
    `limit` bytes at most. Raises Refusal for what the models cannot do, before anything is measured where
    that can be known.
    """
    cells = study.cells(settings)
    keys = keys_of(cells)
    kept = cached(keep, cells, limit)
    engine = engine if stop is None else stoppable(engine, stop)
    missing = len(set(keys)) if anew else len({key for key in keys if key not in kept})
    renewed: set[str] = set()
    measured: list[Measured] = []
    started = time.perf_counter()
    for cell, key in zip(cells, keys, strict=True):
        fresh = key not in kept or (anew and key not in renewed)
        if fresh:
            raw = cell.measurement.take(cell, engine)
            kept.add(cell.measurement.name, key, {"model": cell.model, **cell.given}, raw)
            renewed.add(key)
        seconds = time.perf_counter() - started
        left = seconds / len(renewed) * (missing - len(renewed)) if renewed else 0.0
        measured.append(Measured(cell, kept[key], len(measured) + 1, len(cells), fresh, seconds, left))
        yield measured[-1]
    yield study.table(settings, measured)


def cached_cells(study: Study, settings: Settings, keep: Path | None) -> tuple[int, int]:
    """How many cells of a study are kept already, and how many there are; nothing is measured."""
    cells = study.cells(settings)
    kept = cached(keep, cells)
    return sum(key in kept for key in keys_of(cells)), len(cells)


def keys_of(cells: Sequence[Cell]) -> list[str]:
    """Return 32 hex digits for each cell, by which its values are known again.

    Raises Refusal for a model that is not here.
    """
    weights = _weights(cells)
    return [_key(cell.measurement, cell.given, weights[cell.model]) for cell in cells]


def _weights(cells: Iterable[Cell]) -> dict[str, str]:
    models = {cell.model for cell in cells}
    return {model: fingerprint(find(model)) if model else "" for model in models}


def _key(measurement: Measurement, given: Mapping[str, Json], weights: str) -> str:
    identity = {
        "measurement": measurement.name,
        "version": measurement.version,
        "weights": weights,
        "given": given,
    }
    text = json.dumps(identity, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cached(folder: Path | None, cells: Sequence[Cell], limit: int | None = None) -> ResultCache:
    """Return what is cached of the measurements of these cells.

    Version 0.1 took a key over all settings of a request. Where such a key is the one of these weights, the
    line is known by that over what differs from the defaults.
    """
    weights = _weights(cells)
    measurements = {cell.measurement.name: cell.measurement for cell in cells}

    def rekey(name: str, line: Mapping) -> str:
        given = dict(line.get("given") or {})
        model, key = given.pop("model", None), str(line["key"])
        reduced = _without_defaults(given)
        if reduced == given or model not in weights:
            return key
        of_all_settings = _key(measurements[name], given, weights[model])
        return _key(measurements[name], reduced, weights[model]) if key == of_all_settings else key

    return ResultCache(folder, measurements, rekey, limit=limit)


def _without_defaults(given: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a cell was given, its requests without the settings that have their defaults."""

    def reduced(kind: type[Settings], values: object) -> Json:
        defaults = {
            name: field.default for name, field in kind.model_fields.items() if not field.is_required()
        }
        assert isinstance(values, Mapping)
        return {
            name: value for name, value in values.items() if name not in defaults or value != defaults[name]
        }

    found = dict(given)
    if isinstance(request := given.get("request"), Mapping):
        found["request"] = reduced(Resolved, request)
    if isinstance(arms := given.get("arms"), Mapping):
        found["arms"] = {name: reduced(Extrapolation, arm) for name, arm in arms.items()}
    return found
