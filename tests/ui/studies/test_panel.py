"""A study on the page: what it streams, what its button says, and what it refuses."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gradio.components.plot import PlotData

from sd3demo.studies.study import STUDIES, Column, Row, Table, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls import build as controls
from sd3demo.ui.score.tab import BELOW, gallery
from sd3demo.ui.studies import table_view as tabled
from sd3demo.ui.studies.handlers import answers, asked, labelled, stopped, turned_away
from sd3demo.ui.studies.panel import _place
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


@pytest.fixture(scope="module")
def core(checkpoint: Callable[..., Path]) -> Core:
    return Core((str(checkpoint("sd3.5-medium")),), Rehearsal().run)


def values(name: str, core: Core, **changed: object) -> list[object]:
    """What the controls of a study hold at first, with some of them changed."""
    return [*(controls.opening(find_study(name).settings, core.models) | changed).values()]


def study(core: Core, **changed: object) -> Iterator[list[object]]:
    little = {"n": 1, "categories": "colours, single", "values": "2, 3"}
    return answers(core, "path-length", None, 0, *values("path-length", core, **(little | changed)))


def test_a_study_is_streamed_and_ends_with_its_table_and_charts(core: Core) -> None:
    first, *_, last = list(study(core))
    assert "Getting ready" in str(first[0])
    status, note, table, csv, button, shown, *plots = last
    assert note == ""
    assert "4 measured" in str(status)
    assert "Path length (SD3, table 6)" in str(table)
    assert csv["visible"]
    assert button["value"] == "Show: all is measured"
    assert isinstance(shown, Table)
    assert all(isinstance(plot, PlotData) for plot in plots)
    assert len(plots) == len(find_study("path-length").charts)


def test_a_study_that_is_stopped_says_how_much_is_measured_and_goes_on(core: Core, monkeypatch) -> None:
    monkeypatch.setattr("sd3demo.ui.studies.handlers.PAUSE", 0.0)
    news = study(core)
    bars = [str(next(news)[0]) for _ in range(3)]
    news.close()
    assert "1 of 4" in bars[1]
    assert "about" in bars[1]
    little = values("path-length", core, n=1, categories="colours, single", values="2, 3")
    said, button = stopped(core, "path-length", bars[2], *little)
    assert "What was measured is kept" in str(said)
    assert button["value"] == "Resume: 2 of 4 are measured"
    shown = list(study(core))
    assert sum("left" in str(news[0]) for news in shown) <= 2
    assert labelled(core, "path-length", *little)["value"] == "Show: all is measured"


def test_who_waits_and_stops_is_told_that_nothing_began(core: Core) -> None:
    said, _ = turned_away(core, "score", "Waiting for its turn", *values("score", core))
    assert "did not start" in str(said)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"n": 5000}, "Prompts a category is 5000; on the page it must lie in [1, 200]"),
        ({"n": 0}, "Prompts a category is 0; it must lie in [1, 10000]"),
        ({"values": "2, x"}, "Its values is &#x27;2, x&#x27;; give numbers with commas between"),
        ({"categories": "zebras"}, "Unknown category &#x27;zebras&#x27;"),
        ({"model": "/etc"}, "Unknown model &#x27;/etc&#x27;; choose one of"),
        ({"along": "model", "values": "/etc"}, "Unknown model &#x27;/etc&#x27;; choose one of"),
    ],
)
def test_what_cannot_be_studied_is_one_sentence(core: Core, changed: dict, sentence: str) -> None:
    *_, (status, *others) = list(study(core, **changed))
    assert sentence in str(status)
    assert not any(isinstance(other, PlotData) for other in others)
    assert labelled(core, "path-length", *values("path-length", core, **changed))["value"] == "Run"


@pytest.mark.parametrize("name", STUDIES)
def test_the_controls_of_a_study_hold_settings_that_it_takes(name: str) -> None:
    core = Core(("tiny",), Rehearsal().run)
    study = find_study(name)
    settings = asked(core, study, values(name, core))
    assert study.cells(settings)
    for one in study.settings.model_fields:
        held = controls.opening(study.settings, core.models)[one]
        assert controls.control(study.settings, one, held, core.models, f"set-{one}").value == held
        assert controls.title_of(one)


def test_every_study_below_the_score_exists_and_no_two_charts_have_one_place() -> None:
    assert set(BELOW) <= set(STUDIES)
    places = [_place(name, chart) for name in STUDIES for chart in find_study(name).charts]
    assert len(set(places)) == len(places)


def test_a_table_shows_a_value_beside_its_error_and_the_file_holds_all_of_it() -> None:
    shown = tabled.listing(TABLE)
    assert "<td>0.5124 ± 0.012</td>" in shown
    assert "score error" not in shown
    assert "a &lt;share&gt;" in shown
    assert "Squares &amp; more." in shown
    assert tabled.as_csv(TABLE) == "side [px],score,score error,n\n64,0.51239,0.0123,10\n128,,,0\n"


def test_prompts_cannot_break_out_of_the_gallery(core: Core) -> None:
    from sd3demo.studies.exam_pictures import PICTURE
    from sd3demo.studies.study import Cell, Measured

    cell = Cell(PICTURE, "tiny", {"exam": {"prompt": "<img src=x onerror='x'>"}}, {"category": "single"})
    shown = gallery([Measured(cell, {"passed": True, "picture": "AAAA"}, 1, 1, True, 0, 0)])
    assert "<img src=x" not in shown
    assert "1 of 1 picture is right" in shown
