"""A study on the page: what it streams, what its button says, and what it refuses."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from gradio.components.plot import PlotData

from sd3demo.errors import Failure, Refusal
from sd3demo.history import RunStore
from sd3demo.settings import parse
from sd3demo.studies.study import STUDIES, Column, Row, Table, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import opening_of
from sd3demo.ui.controls.labels import label, titles
from sd3demo.ui.run.errors import sentence as sentence_of
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.run_status import RunStatus
from sd3demo.ui.score.tab import STUDIES as SCORE_STUDIES
from sd3demo.ui.score.tab import gallery
from sd3demo.ui.server.gradio_internals import Call
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line
from sd3demo.ui.studies import table_view
from sd3demo.ui.studies.handlers import allowed_settings, button_text, ended, run_study
from sd3demo.ui.studies.panel import chart_place, study_panel
from tests.ui.fake_page import Rehearsal

TABLE = Table(
    "squares",
    (Column("side", "px"), Column("score", "", "a <share>"), Column("score error"), Column("n")),
    (Row((64, 0.51239, 0.0123, 10), {}), Row((128, None, None, 0), {})),
    "Squares & more.",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def core(checkpoint: Callable[..., Path], tmp_path: Path) -> Core:
    return Core((str(checkpoint("sd3.5-medium")),), Rehearsal().run, RunStore(tmp_path / "runs"))


def values(name: str, core: Core, **changed: object) -> list[object]:
    """What the controls of a study hold at first, with some of them changed."""
    return [*(opening_of(find_study(name).settings, core.models) | changed).values()]


def study(core: Core, **changed: object) -> Iterator[tuple[RunStatus, list[object]]]:
    little = {"n": 1, "categories": "colours, single", "values": "2, 3"}
    return run_study(core, "path-length", None, *values("path-length", core, **(little | changed)))


def test_a_study_is_streamed_and_ends_with_its_table_and_charts(core: Core) -> None:
    *_, (status, (note, table, button, shown, *plots)) = list(study(core))
    assert note == ""
    assert status.phase == "finished"
    assert "4 measured" in status.text
    assert "Path length (SD3, table 6)" in str(table)
    assert "data-csv='path-length-table'" in str(table)
    assert button == "Show results"
    assert isinstance(shown, Table)
    assert all(isinstance(plot, PlotData) for plot in plots)
    assert len(plots) == len(find_study("path-length").charts)


def test_a_study_that_is_stopped_says_how_much_is_measured_and_goes_on(core: Core, monkeypatch) -> None:
    monkeypatch.setattr("sd3demo.ui.studies.handlers.PAUSE", 0.0)
    news = study(core)
    first, second = next(news)[0], next(news)[0]
    news.close()
    assert (first.step, second.step, second.count) == (1, 2, 4)
    assert "about" in second.text
    little = values("path-length", core, n=1, categories="colours, single", values="2, 3")
    said, button = ended(core, "path-length", second, *little)
    assert "Results are saved" in str(said)
    assert button == "Resume (2 of 4 done)"
    again = list(study(core))
    assert sum("left" in status.text for status, _ in again) <= 2
    assert button_text(core, "path-length", *little) == "Show results"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"n": 5000}, "Prompts per category is 5000; on the page it must lie in [1, 200]"),
        ({"n": 0}, "Prompts per category is 0; it must lie in [1, 10000]"),
        ({"values": "2, x"}, "Values to try is '2, x'; give numbers with commas between"),
        ({"categories": "zebras"}, "Unknown category 'zebras'"),
        ({"model": "/etc"}, "Unknown model '/etc'; choose one of"),
        ({"along": "model", "values": "/etc"}, "Unknown model '/etc'; choose one of"),
    ],
)
def test_what_cannot_be_studied_is_one_sentence(core: Core, changed: dict, sentence: str) -> None:
    with pytest.raises(Refusal) as error:
        list(study(core, **changed))
    said = sentence_of(error.value, titles(find_study("path-length").settings))
    assert (said[:1].upper() + said[1:]).startswith(sentence)
    assert button_text(core, "path-length", *values("path-length", core, **changed)) == "Run"


def test_results_are_cached_beside_the_runs_and_nowhere_without_a_history(core: Core, home: Path) -> None:
    list(study(core))
    assert [file.name for file in (home / "runs" / "studies").iterdir()] == ["picture.jsonl"]
    for file in home.rglob("*.jsonl"):
        file.unlink()
    list(study(replace(core, history=None)))
    assert list(home.rglob("*.jsonl")) == []


def limited(core: Core, **limits: object) -> Core:
    return replace(core, line=Line(parse(Limits, limits)))


def test_where_studies_are_off_none_runs_and_the_button_is_grey(core: Core) -> None:
    off = limited(core, studies=False)
    with pytest.raises(Refusal, match="studies are off on this page"):
        list(study(off))
    with gr.Blocks() as page:
        study_panel(off, "path-length", opening_of(find_study("path-length").settings, off.models))
    (run,) = [one for one in page.blocks.values() if getattr(one, "elem_id", "") == "study-path-length-run"]
    assert run.interactive is False
    assert not off.line.had("")


def test_a_study_ends_after_the_seconds_of_a_run(core: Core) -> None:
    with pytest.raises(
        Failure, match=r"the study was stopped after \d+ s; a run has 0.1 s here: try a smaller n"
    ):
        list(study(limited(core, run_seconds=0.1), n=50))


def test_a_study_that_nobody_waits_for_ends_within_a_step(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [0]

    def wanted() -> bool:
        steps[0] += 1
        return steps[0] < 20

    monkeypatch.setattr("sd3demo.ui.run.turns.current_call", lambda **_: Call("me", wanted))
    with pytest.raises(RunStopped):
        list(study(core, n=50))
    assert steps[0] <= 25  # asked at each step, and not again after the first no
    assert core.line.count == 0


@pytest.mark.parametrize("name", STUDIES)
def test_the_controls_of_a_study_hold_settings_that_it_takes(name: str) -> None:
    core = Core(("tiny",), Rehearsal().run)
    study = find_study(name)
    held = opening_of(study.settings, core.models)
    assert study.cells(allowed_settings(core, study, held))
    with gr.Blocks():
        controls = study_panel(core, name, held)
    assert list(controls) == list(study.settings.model_fields)
    for one, control in controls.items():
        assert control.value == held[one]
        assert control.label == label(one, study.settings).title


def test_every_study_of_the_score_exists_and_no_two_charts_have_one_place() -> None:
    assert set(SCORE_STUDIES) <= set(STUDIES)
    places = [chart_place(name, chart) for name in STUDIES for chart in find_study(name).charts]
    assert len(set(places)) == len(places)


def test_a_table_shows_a_value_beside_its_error_and_the_file_holds_all_of_it() -> None:
    shown = table_view.listing(TABLE)
    assert "<td>0.51 ± 0.01</td>" in shown
    assert "score error" not in shown
    assert "a &lt;share&gt;" in shown
    assert "Squares &amp; more." in shown
    assert table_view.as_csv(TABLE) == "side [px],score,score error,n\n64,0.51239,0.0123,10\n128,,,0\n"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.9815, 0.018, "0.98 ± 0.02"),
        (95.62, 2.1, "96 ± 2"),
        (0.9579, 0.0017, "0.958 ± 0.002"),
        (0.5, 0.096, "0.5 ± 0.1"),
        (1234.5, 37.2, "1234 ± 37"),
        (3, 0.4, "3.0 ± 0.4"),
        (9.97, 9.6, "10 ± 10"),
    ],
)
def test_a_value_has_as_many_places_as_its_error(value: float, error: float, text: str) -> None:
    assert table_view.with_error(value, error) == text


def test_prompts_cannot_break_out_of_the_gallery(core: Core) -> None:
    from sd3demo.studies.exam_pictures import PICTURE
    from sd3demo.studies.study import Cell, Measured

    cell = Cell(PICTURE, "tiny", {"exam": {"prompt": "<img src=x onerror='x'>"}}, {"category": "single"})
    shown = gallery([Measured(cell, {"passed": True, "picture": "AAAA"}, 1, 1, True, 0, 0)])
    assert "<img src=x" not in shown
    assert "1 of 1 picture is right" in shown
