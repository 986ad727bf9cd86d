"""The Trajectories tab: alive without a model, honest about its files, and full after a run."""

import base64
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from gradio.components.plot import PlotData

from sd3demo.errors import Refusal
from sd3demo.history.traces import read_trace, shipped, to_file
from sd3demo.settings import parse
from sd3demo.ui import Core
from sd3demo.ui.run.run_status import RunStatus
from sd3demo.ui.trajectories import attention_view, film, handlers, story
from sd3demo.ui.trajectories.tab import TrajectoryLink
from tests.history.fake_trace import a_trace
from tests.ui.fake_page import Rehearsal, write_model

PARTS, PLOTS = len(handlers.PARTS), len(handlers.PLOTS)
SKIP = {"__type__": "update"}


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core((str(write_model(tmp_path / "model")),), Rehearsal().run)


def filled(updates: list[object]) -> handlers.ShownTrace:
    """What is on the page after an answer that fills all of it."""
    status, *parts = updates[:PARTS]
    assert "failed" not in str(status)
    assert all(isinstance(part, str) and part for part in parts)
    assert all(isinstance(plot, PlotData) for plot in updates[PARTS + 1 :])
    shown = updates[PARTS]
    assert isinstance(shown, handlers.ShownTrace)
    return shown


def run(
    core: Core, shown: handlers.ShownTrace | None = None, **changed: object
) -> list[tuple[RunStatus, list[object]]]:
    values = {
        "prompt": "a red circle",
        "seed": 3,
        "steps": 6,
        "cfg": 4,
        "shift": 2,
        "solver": "euler",
        "t5": "on",
    }
    return list(handlers.generate(core, shown, True, *(values | changed).values()))


def test_the_tab_opens_with_a_trace_that_ships_and_only_once() -> None:
    first = handlers.first(None, True, "")
    shown = filled(first)
    assert shown.before is None
    assert to_file(shown.trace) == to_file(read_trace(shipped()[0]))
    assert handlers.first(shown, True, "") == [SKIP] * (PARTS + 1 + PLOTS)


@pytest.mark.parametrize("index", range(3))
def test_every_trace_that_ships_can_be_shown_and_has_a_link(index: int) -> None:
    name = handlers.names()[index]
    shown = filled(handlers.example(name, None, True))
    assert to_file(shown.trace) == to_file(read_trace(shipped()[index]))
    assert re.fullmatch(r"[A-Z][a-z ]+", handlers.title(name))
    assert parse(TrajectoryLink, {"prompt": "-", "recorded": name}).recorded == name
    assert to_file(filled(handlers.first(None, True, name)).trace) == to_file(read_trace(shipped()[index]))
    assert handlers.example(name, shown, True) == [SKIP] * (PARTS + 1 + PLOTS)


def test_a_link_to_a_trace_that_did_not_ship_says_which_did() -> None:
    with pytest.raises(Refusal, match=r"unknown recorded trace 'mine'; choose one of with-guidance, without"):
        parse(TrajectoryLink, {"prompt": "-", "recorded": "mine"})


def test_a_run_fills_the_tab_and_the_trace_before_is_compared(core: Core) -> None:
    before = filled(handlers.first(None, True, ""))
    *news, (status, last) = run(core, before)
    assert (3, 6) in [(one.step, one.count) for one, _ in news]
    assert all(update[PARTS - 1] == SKIP for _, update in news)
    assert status.phase == "finished"
    shown = filled([status.text, *last])
    assert shown.before is before.trace
    assert shown.trace.request.seed == 3
    assert shown.trace.request.steps == 6
    assert "previous run" in str(last[PARTS].plot)
    assert "Steps" in str(last[handlers.PARTS.index("told") - 1])


@pytest.mark.parametrize(("given", "said"), [(0, "steps is 0; it must lie in"), ("", "steps is ; it must")])
def test_a_run_that_is_refused_says_why_and_begins_nothing(core: Core, given: object, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        run(core, steps=given)


def test_a_run_that_is_let_go_of_is_closed(tmp_path: Path) -> None:
    rehearsal = Rehearsal()
    core = Core((str(write_model(tmp_path / "model")),), rehearsal.run)
    news = handlers.generate(core, None, True, "a red circle", 0, 9, 4, 1, "euler", "on")
    while next(news)[0].step != 2:
        pass
    news.close()
    assert rehearsal.ended == ["closed"]


def test_stop_brings_the_film_of_the_trace_before_back() -> None:
    shown = handlers.ShownTrace(a_trace())
    said, picture = handlers.ended(RunStatus("running", step=4, count=9), shown)
    assert "Stopped after 4 steps" in str(said)
    assert picture == film.film(shown.trace, shown.key)
    assert handlers.ended(RunStatus("running", step=1, count=9), None)[1] == SKIP


def test_a_visitors_trace_is_opened_and_a_foreign_file_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    good.write_bytes(to_file(a_trace()))
    bad.write_bytes(b"no trace at all")
    updates = handlers.uploaded(str(good), None, True)
    assert "good.safetensors is a trace of “a red circle”" in str(updates[0])
    filled(updates)
    refused = handlers.uploaded(str(bad), None, True)
    assert "“bad.safetensors” is no trace or was damaged" in str(refused[0])
    assert str(tmp_path) not in str(refused[0])
    assert refused[1:] == [SKIP] * (PARTS + PLOTS)


def test_html_in_a_traces_prompt_is_shown_as_text(tmp_path: Path) -> None:
    trace = a_trace()
    evil = trace.request.model_copy(update={"prompt": "<img src=x onerror=alert(1)>"})
    object.__setattr__(trace, "request", evil)
    assert trace.attention is not None
    forged = (('"><img src=x>', "<img src=x>"), *trace.attention.words[1:])
    object.__setattr__(trace.attention, "words", forged)
    file = tmp_path / "evil.safetensors"
    file.write_bytes(to_file(trace))
    updates = handlers.uploaded(str(file), None, True)
    assert filled(updates).trace.request == evil
    assert "<img src=x" not in "".join(str(part) for part in updates[:PARTS])


def test_the_file_that_is_offered_is_the_trace_itself() -> None:
    link = str(handlers.first(None, True, "")[handlers.PARTS.index("link")])
    path = re.search(r'href="gradio_api/file=([^"]+)"', link)[1]
    assert to_file(read_trace(Path(path))) == to_file(read_trace(shipped()[0]))
    assert path.endswith(".safetensors")


def test_the_comparison_can_be_switched_off() -> None:
    shown = handlers.ShownTrace(a_trace(), a_trace(seed=1))
    with_it, without = handlers.compare(shown, True), handlers.compare(shown, False)
    assert "previous run" in str(with_it[0].plot)
    assert "previous run" not in str(without[0].plot)
    assert handlers.chart("angles", shown, False).name == "angles"


def test_the_sentences_have_the_numbers_of_the_trace() -> None:
    trace, before = a_trace(), a_trace(steps=20, seed=1)
    told = story.figures(trace) + story.story(trace, before)
    for number in (trace.shape.length, trace.shape.chord, before.shape.length):
        assert f"{number:.1f}" in told
    assert f"{trace.shape.straightness:.3f}" in told
    assert "<b>Steps</b> 20 → 12" in told
    assert "<b>straight</b>" in story.story(a_trace(bend=0), None)
    assert "never leaves its chord" in story.story(a_trace(bend=0), None)


def test_one_step_is_a_step() -> None:
    trace = a_trace(steps=1)
    told = story.figures(trace) + story.story(trace, None)
    assert "1 step of Euler" in told
    assert "1 steps" not in told


def test_without_guidance_nothing_is_said_of_its_angle() -> None:
    trace = a_trace()
    trace.guidance[:, [1, 3]] = np.nan
    assert "CFG is off" in story.story(trace, None)


def test_the_papers_values_stand_with_their_own_resolution() -> None:
    context = story.context(a_trace())
    for depth, length in story.TABLE_6:
        assert f">{depth}<" in context
        assert f"{length:.2f}" in context
    assert "names no size; these lengths fit 256 × 256 px" in context
    assert "5.6%" in context
    assert "2.7%" in context


def test_the_film_has_every_state_and_prediction() -> None:
    trace = a_trace()
    html = film.film(trace)
    assert f'max="{trace.steps}"' in html
    assert json.loads(re.search(r'data-times="([^"]+)"', html)[1]) == pytest.approx(
        trace.sigmas.tolist(), abs=1e-4
    )


def test_the_explorer_carries_the_very_weights() -> None:
    trace = a_trace()
    assert trace.attention is not None
    data = json.loads(unescape(re.search(r'data-numbers="([^"]+)"', attention_view.explorer(trace))[1]))
    shares = np.frombuffer(base64.b64decode(data["maps"]), "<u2").reshape(data["shape"]) / attention_view.FULL
    np.testing.assert_allclose(shares, trace.attention.maps, atol=1 / attention_view.FULL)
    assert data["words"] == [word for _, word in trace.attention.words]
    assert data["blocks"] == [1, 2, 3, 4]
    assert data["steps"][-1] == trace.steps


def test_the_explorer_opens_at_the_map_that_stands_out_and_not_at_padding() -> None:
    trace = a_trace()
    assert trace.attention is not None
    trace.attention.maps[2, 1, 3, 4, 4] = 0.9
    trace.attention.maps[0, 0, 4, 1, 1] = 1.0  # padding
    assert attention_view.contrast(trace.attention) == (2, 1, 3)


def test_a_trace_without_attention_says_so() -> None:
    assert "holds no attention" in attention_view.explorer(a_trace(attends=False))
