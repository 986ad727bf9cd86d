"""What every study can rely on: cells are measured once, kept as they come, and a stop costs nothing."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import Field, create_model
from pydantic_core import PydanticUndefined

from sd3demo.catalogue import find, fingerprint
from sd3demo.engine import Engine
from sd3demo.engine.plan import resolve as resolving
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, Settings, parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.studies import study as framework
from sd3demo.studies.imax import larger_pictures as imax_prompts
from sd3demo.studies.study import (
    STUDIES,
    Cell,
    Column,
    Measured,
    Measurement,
    Row,
    Study,
    Table,
    cached_cells,
    find_study,
    keys_of,
    run,
)


class Squares(Settings):
    """A study that needs no model."""

    n: int = Field(4, ge=1, le=100, description="Numbers.")


def counted(version: int = 1) -> tuple[Study, list[int]]:
    """A study of squares, and the numbers that were really measured."""
    taken: list[int] = []

    def take(cell: Cell, engine: Engine) -> dict:
        number = cell.given["number"]
        assert isinstance(number, int)
        taken.append(number)
        return {"square": number**2 / 7, "pair": (1, 2)}

    measurement = Measurement("squares", version, take)

    def cells(settings: Squares) -> list[Cell]:
        return [Cell(measurement, "exact", {"number": k}, {"odd": k % 2}) for k in range(settings.n)]

    def table(settings: Squares, measured: Sequence[Measured]) -> Table:
        rows = tuple(Row((one.raw["square"],), {"n": settings.n}) for one in measured)
        return Table("squares", (Column("square"),), rows, "Squares.")

    return Study(Squares, lambda settings: ["exact"], cells, table, ()), taken


def ran(study: Study, n: int, keep: Path | None, **how: bool) -> list[Measured | Table]:
    return list(run(study, Squares(n=n), Engine(), keep, **how))


def test_the_cells_come_in_their_order_and_the_table_last() -> None:
    study, taken = counted()
    *measured, table = ran(study, 4, None)
    assert taken == [0, 1, 2, 3]
    assert [(one.done, one.count, one.fresh) for one in measured] == [(k, 4, True) for k in (1, 2, 3, 4)]
    assert isinstance(table, Table)
    assert table.column("square") == (0.0, 1 / 7, 4 / 7, 9 / 7)
    assert measured[-1].left == 0
    assert measured[0].raw["pair"] == [1, 2]  # as a file would give it back


def test_what_was_kept_is_not_measured_again_and_another_n_extends_it(tmp_path: Path) -> None:
    study, taken = counted()
    first = ran(study, 3, tmp_path)
    assert cached_cells(study, Squares(n=5), tmp_path) == (3, 5)
    taken.clear()
    *measured, table = ran(study, 5, tmp_path)
    assert taken == [3, 4]
    assert [one.fresh for one in measured] == [False] * 3 + [True] * 2
    assert table.rows[:3] == tuple(replace(row, again={"n": 5}) for row in first[-1].rows)
    assert [one.left > 0 for one in measured] == [False, False, False, True, False]


def test_a_stopped_study_goes_on_where_it_stood_with_the_same_table(tmp_path: Path) -> None:
    study, taken = counted()
    whole = ran(study, 6, None)[-1]
    taken.clear()
    stopped = run(study, Squares(n=6), Engine(), tmp_path)
    assert [next(stopped).done for _ in range(3)] == [1, 2, 3]
    stopped.close()
    assert ran(study, 6, tmp_path)[-1] == whole
    assert taken == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("torn", [1, 10, 40])
def test_a_line_that_a_kill_has_torn_is_measured_again(tmp_path: Path, torn: int) -> None:
    study, taken = counted()
    whole = ran(study, 4, tmp_path)[-1]
    file = tmp_path / "squares.jsonl"
    file.write_bytes(file.read_bytes()[:-torn])
    taken.clear()
    assert ran(study, 4, tmp_path)[-1] == whole
    assert taken == ([3] if torn > 1 else [])  # without its line end alone a line is whole
    taken.clear()
    assert ran(study, 4, tmp_path)[-1] == whole
    assert taken == []


def test_another_version_and_a_wish_measure_anew(tmp_path: Path) -> None:
    study, taken = counted()
    ran(study, 2, tmp_path)
    ran(study, 2, tmp_path, anew=True)
    assert taken == [0, 1, 0, 1]
    newer, again = counted(version=2)
    ran(newer, 2, tmp_path)
    assert again == [0, 1]


def test_equal_cells_of_two_arms_are_measured_once() -> None:
    study, taken = counted()
    twice = replace(study, cells=lambda settings: [*study.cells(settings), *study.cells(settings)])
    *measured, _ = ran(twice, 2, None)
    assert taken == [0, 1]
    assert [one.fresh for one in measured] == [True, True, False, False]


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: replace(cell, given={"number": 2}),
        lambda cell: replace(cell, measurement=replace(cell.measurement, version=9)),
        lambda cell: replace(cell, measurement=replace(cell.measurement, name="cubes")),
    ],
)
def test_a_cell_is_known_by_all_that_it_depends_on(change) -> None:
    cell = counted()[0].cells(Squares(n=2))[1]
    assert keys_of([cell]) == keys_of([replace(cell, arm={"odd": "moved"})])
    assert keys_of([cell]) != keys_of([change(cell)])


def test_other_weights_are_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = counted()[0].cells(Squares(n=1))[0]
    before = keys_of([cell])
    monkeypatch.setattr(framework, "fingerprint", lambda spec: "other")
    assert keys_of([cell]) != before


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match=r"cannot (keep|read)"):
        ran(counted()[0], 1, tmp_path / "file" / "below")


def test_an_unknown_study_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Refusal, match=f"unknown study 'zebra'; choose one of {next(iter(STUDIES))}"):
        find_study("zebra")


def test_every_study_says_what_it_will_do_before_torch_is_loaded() -> None:
    code = (
        "import sys; from sd3demo.studies.study import STUDIES, find_study\n"
        "for study in map(find_study, STUDIES): assert study.cells(study.settings())\n"
        "print(*{'torch', 'diffusers', 'plotly', 'gradio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_a_killed_command_costs_one_cell_at_most(checkpoint, tmp_path: Path) -> None:
    """The command kills itself as it reports its third cell, however busy the machine."""
    model = str(checkpoint("sd3.5-medium"))
    words = ["study", "path-length", "--json", "--model", model]
    words += ["--values", "20, 30", "--n", "2", "--out", str(tmp_path / "a.html")]
    code = (
        "import os, signal, sys\n"
        "from sd3demo.cli import main, study\n"
        "say = study.progress\n"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "study.progress = lambda news: kill() if news.done == 3 else say(news)\n"
        "main(sys.argv[1:])"
    )
    killed = subprocess.run([sys.executable, "-c", code, *words, "--keep", str(tmp_path / "kept")])
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "kept" / "picture.jsonl").read_bytes().count(b"\n") == 3

    def table(keep: str) -> dict:
        command = [sys.executable, "-m", "sd3demo", *words, "--keep", str(tmp_path / keep)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])["table"]

    assert table("kept") == table("fresh")


WITH_DEFAULTS = {
    "negative": "",
    "model": "tiny",
    "seed": 0,
    "count": 1,
    "cfg_from": 0.0,
    "cfg_to": 1.0,
    "solver": "euler",
    "t5": "on",
    "clip_l": "on",
    "clip_g": "on",
    "prompt_2": "",
    "prompt_3": "",
    "placement": "auto",
    "method": "projected",
    "strength": "paper",
    "low_pass": "haar",
    "level": "auto",
    "cutoff": "auto",
    "cascade": "straight",
    "tail": 0,
    "reshift": "auto",
    "lift": "bicubic",
    "posterior": "mean",
    "positions": "interpolate",
    "attention": "off",
    "text_copies": 1.0,
    "half_patch": False,
    "upscaler": "",
}
"""The defaults of version 0.1. Another one is another picture under the same key."""


def test_a_default_that_keys_leave_out_never_changes() -> None:
    """Where one has to: raise `version` of every Measurement, and change it here."""
    found = {name: Extrapolation.model_fields[name].default for name in WITH_DEFAULTS}
    assert found == WITH_DEFAULTS


def picture_cells() -> list[Cell]:
    """A cell of each measurement of the two studies that hold most of them."""
    cells: dict[str, Cell] = {}
    for name, asked in {
        "score": {"n": 1, "categories": "colours"},
        "few-steps": {"n": 1, "categories": "colours"},
        "velocity-loss": {"n": 1},
        "imax-steps": {"n": 1, "categories": "colours"},
    }.items():
        study = find_study(name)
        for cell in study.cells(parse(study.settings, {"model": "tiny", **asked})):
            cells.setdefault(cell.measurement.name, cell)
    return list(cells.values())


def test_a_new_setting_leaves_the_keys_of_old_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    def grown(kind: type[Settings]) -> type[Settings]:
        return create_model(kind.__name__, __base__=kind, flavour=(float, 0.5))

    before = keys_of(picture_cells())
    assert len(set(before)) == 5
    monkeypatch.setattr(resolving, "Resolved", grown(resolving.Resolved))
    monkeypatch.setattr(imax_prompts, "Extrapolation", grown(Extrapolation))
    monkeypatch.setattr(
        imax_prompts, "_planned", lambda arms, device, *given: None
    )  # it knows the other kind alone
    assert keys_of(picture_cells()) == before


def test_cells_of_version_0_1_are_not_measured_again(tmp_path: Path) -> None:
    """Its keys were over all settings of a request, and its lines hold all of them."""
    cells = picture_cells()
    for cell in cells:
        given = dict(cell.given)
        if "arms" in given and isinstance(given["arms"], dict):
            given["arms"] = {
                name: parse(Extrapolation, arm).model_dump(mode="json") for name, arm in given["arms"].items()
            }
        else:
            dropped = {"model": "tiny", "placement": "auto", "t5": "on"}
            whole = {name: field.default for name, field in Resolved.model_fields.items()}
            if "cfg" not in given["request"]:  # a measurement that takes a few settings alone
                whole = dropped if cell.measurement.name == "velocity-loss" else {**dropped, "t5": None}
            rest = {
                name: value
                for name, value in whole.items()
                if value is not None and value is not PydanticUndefined
            }
            given["request"] = {**rest, **given["request"]}
        identity = {"measurement": cell.measurement.name, "version": cell.measurement.version}
        identity |= {"weights": fingerprint(find("tiny")), "given": given}
        text = json.dumps(identity, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        line = {"key": key, "given": {"model": "tiny", **given}, "raw": {"a": 1}}
        file = tmp_path / f"{cell.measurement.name}.jsonl"
        file.write_text(json.dumps(line) + "\n" + json.dumps({**line, "key": "0" * 32}) + "\n")
        assert key not in keys_of([cell]), cell.measurement.name
    study = replace(counted()[0], cells=lambda settings: cells)
    assert cached_cells(study, Squares(), tmp_path) == (5, 5)
    other = [replace(cell, measurement=replace(cell.measurement, version=9)) for cell in cells]
    assert cached_cells(replace(study, cells=lambda settings: other), Squares(), tmp_path) == (0, 5)
