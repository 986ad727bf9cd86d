"""What is recorded of a study: it comes back as it was, and anything else is passed over."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sd3demo.engine import Engine
from sd3demo.errors import Refusal
from sd3demo.plots.chart import figure_json
from sd3demo.plots.studies import CHARTS
from sd3demo.settings import parse
from sd3demo.studies import results as module
from sd3demo.studies.results import place, read, recorded, result, rounded
from sd3demo.studies.study import STUDIES, Table, find_study, run
from tests import record
from tests.studies.conftest import exact

LITTLE = {"model": "exact", "n": 2, "categories": "colours", "cfg": "1, 3", "steps": 3}
NAME = "score-cfg"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The assets of these tests."""
    monkeypatch.setattr(module, "assets", lambda: tmp_path)
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def last(name: str) -> Table:
    settings = parse(find_study(name).settings, LITTLE)
    *_, table = run(find_study(name), settings, Engine(exact), None)
    assert isinstance(table, Table)
    return table


def good() -> dict[str, object]:
    values = result(NAME, parse(find_study(NAME).settings, LITTLE), last(NAME))
    return json.loads(json.dumps(values))


def test_a_result_comes_back_from_its_json() -> None:
    values, table = good(), last(NAME)
    found = read(values)
    assert (found.table.study, found.table.columns, found.table.caption) == (
        table.study,
        table.columns,
        table.caption,
    )
    assert [row.values for row in found.table.rows] == [row.values for row in table.rows]
    assert [row.again for row in found.table.rows] == [row.again for row in table.rows]
    assert found.settings == parse(find_study(NAME).settings, LITTLE)
    assert len(found.weights["exact"]) == 64
    place(NAME).write_text(json.dumps({**values, "figure": "beside.html"}))  # as the command prints it
    assert recorded(NAME) == found


def test_nothing_is_recorded_where_there_is_no_file(caplog: pytest.LogCaptureFixture) -> None:
    assert recorded(NAME) is None
    assert caplog.records == []


FOREIGN: dict[str, Callable[[dict], object]] = {
    "a list": lambda values: [values],
    "another study": lambda values: {**values, "study": "score"},
    "no study": lambda values: {**values, "study": "horoscope"},
    "no weights": lambda values: {name: value for name, value in values.items() if name != "weights"},
    "no settings of this study": lambda values: {**values, "settings": {"colour": "red"}},
    "settings out of bounds": lambda values: {**values, "settings": {"n": 0}},
    "a short row": lambda values: _tabled(values, rows=[[1], *values["table"]["rows"][1:]]),
    "no rows": lambda values: _tabled(values, rows=[], again=[]),
    "rows and settings apart": lambda values: _tabled(values, again=[]),
    "two columns of a name": lambda values: _tabled(values, columns=["n"] * len(values["table"]["columns"])),
    "a list in a cell": lambda values: _tabled(
        values, rows=[[[]] * len(values["table"]["columns"])], again=[{}]
    ),
    "no number": lambda values: _tabled(
        values, rows=[[float("nan")] * len(values["table"]["columns"])], again=[{}]
    ),
}


def _tabled(values: dict, **changed: object) -> dict:
    return {**values, "table": {**values["table"], **changed}}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_foreign_is_passed_over_with_one_line(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    place(NAME).write_text(json.dumps(FOREIGN[kind](good())))
    with caplog.at_level(logging.WARNING):
        assert recorded(NAME) is None
    (line,) = caplog.messages
    assert line.startswith(f"passed over {place(NAME)}: ")
    assert "\n" not in line
    assert len(line) < 600


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"null", b"[" * 100_000, b" " * 1_000_001 + b"{}"]
)
def test_what_is_damaged_is_passed_over(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    place(NAME).write_bytes(content)
    assert recorded(NAME) is None
    assert len(caplog.messages) == 1


def test_rounding_keeps_six_digits_and_every_whole_number() -> None:
    table = last(NAME)
    for row, short in zip(table.rows, rounded(table).rows, strict=True):
        for value, less in zip(row.values, short.values, strict=True):
            assert type(value) is type(less)
            assert less == (pytest.approx(value, rel=5e-6) if isinstance(value, float) else value)


def test_a_recording_measures_once_and_writes_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse(find_study(NAME).settings, LITTLE)
    monkeypatch.setattr(record, "counted", lambda name, n: settings)
    keep = tmp_path / "kept"
    first = record.record(NAME, 2, Engine(exact), keep).read_bytes()
    lines = sum(len(file.read_text().splitlines()) for file in keep.iterdir())
    assert record.record(NAME, 2, Engine(exact), keep).read_bytes() == first
    assert sum(len(file.read_text().splitlines()) for file in keep.iterdir()) == lines
    assert [file.name for file in place(NAME).parent.iterdir()] == [f"{NAME}.json"]
    found = recorded(NAME)
    assert found is not None
    assert found.table == read(json.loads(first)).table


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_recorded_with_an_n(name: str) -> None:
    settings = record.counted(name, record.PLAN[name])
    assert find_study(name).cells(settings.model_copy(update={"model": "tiny"}))
    held = settings.model_dump()
    assert record.PLAN[name] in {held[one] for one in record.COUNTS if one in held}


@pytest.mark.parametrize(
    ("text", "sentence"), [("score=many", "is no study with a number"), ("zodiac", "unknown study 'zodiac'")]
)
def test_what_cannot_be_recorded_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        record.main([text])


SHIPPED = sorted((ROOT / "assets" / "studies").glob("*.json"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_ships_is_small_and_can_be_drawn(file: Path) -> None:
    assert file.stat().st_size <= record.MOST
    found = read(json.loads(file.read_text()))
    assert found.table.study == file.stem
    for name in find_study(file.stem).charts:
        assert figure_json(CHARTS[name](found.table))


def test_no_torch_is_loaded_to_read_and_draw_what_was_recorded(folder: Path) -> None:
    place(NAME).write_text(json.dumps(good() | {"settings": {"n": 2}}))
    code = (
        "import sys, json; from sd3demo.studies.results import read\n"
        "from sd3demo.ui.studies.recorded_view import charts\n"
        "from sd3demo.studies.study import find_study\n"
        f"found = read(json.load(open({str(place(NAME))!r})))\n"
        f"assert len(charts(find_study({NAME!r}), found.table)) == 2\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
