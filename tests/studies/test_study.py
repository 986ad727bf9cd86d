"""What every study can rely on: cells are measured once, kept as they come, and a stop costs nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import Field

from sd3demo.engine import Engine
from sd3demo.errors import Refusal
from sd3demo.settings import Settings
from sd3demo.studies import study as framework
from sd3demo.studies.study import (
    STUDIES,
    Cell,
    Column,
    Measured,
    Measurement,
    Row,
    Study,
    Table,
    find_study,
    keys_of,
    run,
    standing,
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
    assert standing(study, Squares(n=5), tmp_path) == (3, 5)
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
