"""What a study's place shows before a run: what was recorded and under what, or what will appear."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from sd3demo.catalogue import find, fingerprint
from sd3demo.settings import parse
from sd3demo.studies import results as module
from sd3demo.studies.results import result
from sd3demo.studies.study import STUDIES, Column, Row, Table, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import opening_of
from sd3demo.ui.studies.panel import study_panel
from sd3demo.ui.studies.recorded_view import recorded_view
from tests.ui.fake_page import Rehearsal, write_model

NAME = "path-length"
NUMBERS = ("length", "length error", "chord", "straightness", "straightness error", "bound", "n")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(module, "assets", lambda: tmp_path)
    (tmp_path / "studies").mkdir()
    return tmp_path


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core((str(write_model(tmp_path / "model")),), Rehearsal().run)


def write(core: Core, *, columns: tuple[str, ...] = NUMBERS, **settings: object) -> Path:
    table = Table(
        NAME,
        tuple(Column(name) for name in ("steps", *columns)),
        tuple(Row((steps, *(steps / 10 + k for k, _ in enumerate(columns))), {}) for steps in (2, 5, 10)),
        "Path length of <b>tiny</b>.",
    )
    given = parse(find_study(NAME).settings, {"model": core.models[0], **settings})
    values = result(NAME, given, table)
    module.place(NAME).write_text(json.dumps(values))
    return module.place(NAME)


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def panel(core: Core, name: str) -> dict[str, Any]:
    """The parts of a study's panel as the page holds them, by their ids."""
    with gr.Blocks() as page:
        study_panel(core, name, opening_of(find_study(name).settings, core.models))
    return {block.elem_id: block for block in page.blocks.values() if getattr(block, "elem_id", None)}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_was_not_recorded_says_what_will_appear(core: Core, name: str) -> None:
    parts = panel(core, name)
    assert "Press Run: " in parts[f"study-{name}-before"].value
    assert parts[f"study-{name}-table"].value == ""


def test_a_recorded_study_opens_with_its_table_and_charts(core: Core) -> None:
    write(core, n=7)
    parts = panel(core, NAME)
    assert "Recorded result: n = 7, all other settings as they open here; with these weights." in (
        parts[f"study-{NAME}-before"].value
    )
    assert "Path length of &lt;b&gt;tiny&lt;/b&gt;." in parts[f"study-{NAME}-table"].value
    assert parts["plot-path-length"].value
    assert parts["plot-path-length-straightness"].value


def test_settings_that_differ_from_those_on_the_page_are_told(core: Core) -> None:
    write(core, n=2, cfg=1.5, t5="omit", solver="rk4")
    note = recorded_view(core, NAME).note
    for told in ("n = 2, ", "CFG scale 1.5", "T5 Left out", "sampler Runge-Kutta 4"):
        assert told in note
    assert "shift" not in note


def test_weights_are_known_by_their_hash(core: Core) -> None:
    file = write(core)
    model = core.models[0]
    assert "; with these weights." in recorded_view(core, NAME).note
    changed(file, weights={model: fingerprint(find(model))[::-1]})
    assert "; with an earlier version of the weights." in recorded_view(core, NAME).note
    changed(file, weights={"/no/such/folder": "0" * 64})
    assert "; with weights that are not here." in recorded_view(core, NAME).note


def test_a_table_that_cannot_be_drawn_any_more_is_passed_over(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    write(core, columns=("breadth",))
    found = recorded_view(core, NAME)
    assert "Press Run" in found.note
    assert found.table is None
    assert found.plots == [None, None]
    assert "it cannot be drawn" in caplog.text
