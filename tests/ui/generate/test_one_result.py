"""One result: picture, prompt, settings and figures are of one run, however it came onto the page."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gradio as gr
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import Event
from sd3demo.errors import Failure, Refusal
from sd3demo.history import RunStore, receipts_of, to_png
from sd3demo.settings import Request, parse
from sd3demo.ui import Core
from sd3demo.ui.generate.handlers import VIEWS, GenerateHandlers, dropped, is_wanted
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.run_status import RunStatus, running, status_html
from sd3demo.ui.run.visit import Press, Visit
from sd3demo.ui.run.wiring import _where_wanted, queued, stopping, streamed, unless_stopped
from sd3demo.ui.server.limits import AT_HOME
from sd3demo.ui.server.line import Line
from tests.ui.fake_page import Rehearsal, events, finished
from tests.ui.generate.presses import pressed


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))


@pytest.fixture
def answers() -> GenerateHandlers:
    return GenerateHandlers(Core(("tiny", "tiny-3"), Rehearsal().run))


def form(answers: GenerateHandlers, **settings: object) -> list[object]:
    values = dict(answers.start({})) | {"prompt": "a red circle", "steps": 3, **settings}
    return [values[name] for name in answers.names]


def png(folder: Path, name: str = "home.png", **settings: object) -> str:
    asked = plan(
        parse(Request, {"prompt": "a blue star", "model": "tiny", "steps": 5} | settings),
        find("tiny"),
        Budget(),
    )
    done = finished(asked)
    file = folder / name
    file.write_bytes(to_png(done.pictures[0], receipts_of(asked.request, done)[0]))
    return str(file)


def test_a_finished_run_shows_its_settings_its_figures_and_its_verdict(answers: GenerateHandlers) -> None:
    visit = Visit()
    *_, (_, updates) = pressed(answers, form(answers, seed=7, cfg=2), visit=visit)
    pictures, _, story, *_ = map(str, updates)
    assert visit.result is not None
    assert (visit.result.state, visit.result.seconds > 0) == ("finished", True)
    assert 'class="obeys missed"' in pictures
    assert 'data-twin="cfg-1"' in pictures
    assert "Settings changed since this picture" in pictures
    assert f'href="{visit.result.link.replace("&", "&amp;")}"' in pictures
    assert "seed 7 · 3 steps · Euler · CFG 2" in story
    assert "<dd>7<small>draws the noise" in story


def test_a_dropped_picture_is_shown_itself(answers: GenerateHandlers, tmp_path: Path) -> None:
    visit = Visit()
    list(pressed(answers, form(answers), visit=visit))
    _, _, pictures, strip, story, *controls = answers.receipt(png(tmp_path, seed=9), visit)
    assert "Picture for: a blue star" in str(pictures)
    assert "a red circle" not in f"{pictures}{story}"
    assert "From the file home.png" in str(story)
    assert "<dd>9<small>draws the noise" in str(story)
    assert strip == ""
    held = dict(zip(answers.names, controls, strict=True))
    assert held["seed"]["value"] == 9  # type: ignore[index]
    assert visit.result is not None
    assert (visit.result.state, visit.result.request.seed) == ("opened", 9)


def test_a_dropped_picture_beyond_the_limit_sets_the_form_and_is_not_decoded(tmp_path: Path) -> None:
    limits = AT_HOME.model_copy(update={"picture_pixels": 64 * 64 - 1})
    answers = GenerateHandlers(Core(("tiny",), Rehearsal().run, line=Line(limits)))
    status, _, pictures, _, story, *controls = answers.receipt(png(tmp_path, seed=9), Visit())
    assert "The settings are those of home.png" in str(status)
    assert "Not generated yet" in str(pictures)
    assert "“a blue star”" in str(story)
    assert dict(zip(answers.names, controls, strict=True))["seed"]["value"] == 9  # type: ignore[index]


def test_a_drop_while_a_run_goes_on_leaves_its_picture(answers: GenerateHandlers, tmp_path: Path) -> None:
    visit = Visit()
    run = pressed(answers, form(answers), visit=visit)
    next(run)
    _, _, *views = answers.receipt(png(tmp_path), visit)
    assert views[:VIEWS] == [gr.skip()] * VIEWS
    assert answers.arrived(visit, *form(answers)) == [gr.skip()] * VIEWS


def test_a_link_shows_the_result_of_this_visit_with_its_settings(answers: GenerateHandlers) -> None:
    visit = Visit()
    list(pressed(answers, form(answers, seed=1), visit=visit))
    first = visit.result
    list(pressed(answers, form(answers, seed=2), visit=visit))
    pictures, _, story = answers.arrived(visit, *form(answers, seed=1))
    assert first is not None
    assert first.pictures[0].file.source in str(pictures)
    assert "seed 1 ·" in str(story)
    assert visit.result == first


def test_a_link_shows_a_run_of_the_history(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    answers = GenerateHandlers(Core(("tiny",), Rehearsal().run, store))
    list(pressed(answers, form(answers, seed=3)))
    visit = Visit()  # another day
    pictures, _, story = answers.arrived(visit, *form(answers, seed=3))
    assert "Picture for: a red circle" in str(pictures)
    assert "From the history" in str(story)
    assert "<dt>Calls" in str(story)


def test_a_link_to_what_nobody_made_says_so(answers: GenerateHandlers) -> None:
    visit = Visit()
    list(pressed(answers, form(answers, seed=1), visit=visit))
    pictures, strip, story = answers.arrived(visit, *form(answers, prompt="a green ring", seed=4))
    assert "Not generated yet: press Generate" in str(pictures)
    assert "“a green ring”" in str(story)
    assert "<dl" not in str(story)
    assert strip == ""


def test_after_stop_the_words_are_of_the_picture_that_stands_there(answers: GenerateHandlers) -> None:
    visit = Visit()
    list(pressed(answers, form(answers, seed=1), visit=visit))
    run = pressed(answers, form(answers, prompt="a green ring", steps=8), visit=visit)
    while next(run)[0].step < 2:
        pass
    run.close()  # type: ignore[attr-defined]
    text, story = answers.stopped(running("", step=2, count=8), visit)
    assert text == "Stopped after step 2 of 8."
    assert "“a green ring”" in str(story)
    assert "Stopped after step 2 of 8: the picture is the prediction at that step" in str(story)
    assert "<dl" not in str(story)
    assert not visit.is_running


def test_stop_before_the_first_step_leaves_the_result_before(answers: GenerateHandlers) -> None:
    visit = Visit()
    list(pressed(answers, form(answers), visit=visit))
    run = pressed(answers, form(answers, seed=5), visit=visit)
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert answers.stopped(running(""), visit)[1] == gr.skip()
    assert visit.result is not None
    assert visit.result.request.seed == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [(Failure("out of memory"), "did not finish"), (RunStopped(2), "Stopped after step 2 of 3")],
)
def test_a_run_that_breaks_off_says_so_beside_its_own_picture(error: Exception, said: str) -> None:
    def run(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[:-1]
        raise error

    answers = GenerateHandlers(Core(("tiny",), run))
    stories: list[str] = []
    run_ = pressed(answers, form(answers))
    with pytest.raises(type(error)):
        stories.extend(str(updates[2]) for _, updates in run_)
    assert said in stories[-1]
    assert "“a red circle”" in stories[-1]


def test_a_run_that_is_refused_leaves_the_result_whole(answers: GenerateHandlers) -> None:
    visit = Visit()
    list(pressed(answers, form(answers), visit=visit))
    before = visit.result
    with pytest.raises(Refusal):
        list(pressed(answers, form(answers, steps=1000), visit=visit))
    assert visit.result is before
    assert not visit.is_running


def test_a_second_press_waits_with_its_own_settings_and_is_run_next(answers: GenerateHandlers) -> None:
    visit = Visit()
    run = pressed(answers, form(answers, prompt="one"), visit=visit)
    next(run)
    assert (
        answers.pressed(running("Step 1"), visit, False, *form(answers, prompt="two", seed=9))
        == [gr.skip()] * 2
    )
    assert not is_wanted(visit)  # the run that goes on takes it
    seen: list[tuple[RunStatus, list[object]]] = list(run)
    assert any("Next in the queue: 1. two" in status_html(status) for status, _ in seen)
    ends = [updates for status, updates in seen if status.phase == "finished"]
    assert ["Picture for: one" in str(ends[0][0]), "Picture for: two" in str(ends[1][0])] == [True, True]
    assert visit.result is not None
    assert (visit.result.request.prompt, visit.result.request.seed) == ("two", 9)


def test_stop_drops_what_waits_and_says_so(answers: GenerateHandlers) -> None:
    visit = Visit()
    run = pressed(answers, form(answers), visit=visit)
    next(run)
    answers.pressed(running("Step 1"), visit, False, *form(answers, seed=9))
    run.close()  # type: ignore[attr-defined]
    assert answers.stopped(running("", step=1, count=3), visit)[0].endswith("1 waiting run dropped.")  # type: ignore[attr-defined]
    assert visit.waiting == ()


@pytest.mark.parametrize("twin", [False, True], ids=["Generate", "a twin"])
def test_a_stop_between_a_press_and_its_run_takes_the_press_back(
    answers: GenerateHandlers, twin: bool
) -> None:
    """The browser has the answer to the press, and sends Stop before the run."""
    visit = Visit()
    list(pressed(answers, form(answers), visit=visit))
    before = visit.result
    assert before is not None
    if twin:
        visit.press(Press(request=before.request, original=before, changed="CFG scale 4 → 1"))
        status = queued(RunStatus())[0]
    else:
        status = answers.pressed(RunStatus(), visit, False, *form(answers, seed=9))[0]
    assert isinstance(status, RunStatus)
    now, html = stopping(dropped, status, visit)
    assert "did not start" in str(html)
    assert visit.waiting == ()
    run = partial(_where_wanted, is_wanted, partial(streamed, answers.run, {}, 5, None), 5)
    assert list(unless_stopped(run, 5, status, visit)) == [[gr.skip()] * 7]
    assert visit.result is before
    assert isinstance(now, RunStatus)
    again = answers.pressed(now, visit, False, *form(answers, seed=10))[0]
    assert isinstance(again, RunStatus)
    *_, (ended, *_) = unless_stopped(run, 5, again, visit)
    assert isinstance(ended, RunStatus)
    assert (ended.phase, visit.result.request.seed) == ("finished", 10)  # type: ignore[union-attr]


def test_a_twin_that_is_stopped_shows_its_last_prediction_and_can_be_asked_for_again(
    answers: GenerateHandlers,
) -> None:
    visit = Visit()
    list(pressed(answers, form(answers, seed=2), visit=visit))
    original = visit.result
    assert original is not None
    twin = Press(
        request=original.request.model_copy(update={"cfg": 1.0}), original=original, changed="CFG 4 → 1"
    )
    visit.press(twin)
    assert is_wanted(visit)
    run = answers.run(visit)
    while next(run)[0].step < 1:
        pass
    run.close()  # type: ignore[attr-defined]
    _, story = answers.stopped(running("", step=1, count=3), visit)
    assert "Stopped after step 1 of 3: the picture is the prediction at that step." in str(story)
    assert "One change: CFG 4 → 1." in str(story)
    assert visit.previous is original
    assert visit.pinned == ()
    assert visit.press(twin)
    assert is_wanted(visit)
    list(answers.run(visit))
    assert visit.result is not None
    assert (visit.result.state, visit.result.changed) == ("finished", "CFG 4 → 1")


def test_a_twin_says_what_it_changes_and_lands_beside_its_original(answers: GenerateHandlers) -> None:
    visit = Visit()
    list(pressed(answers, form(answers, seed=2), visit=visit))
    original = visit.result
    assert original is not None
    request = original.request.model_copy(update={"cfg": 1.0})
    visit.press(Press(request=request, original=original, changed="CFG scale 4 → 1"))
    assert is_wanted(visit)
    *_, (_, updates) = answers.run(visit)
    pictures, _, story, seed, prompt = updates
    assert "data-twin" in str(pictures)
    assert 'class="since shown">One change: CFG scale 4 → 1' in str(pictures)
    assert "so this alone is what changed the picture" in str(story)
    assert (seed, prompt) == (gr.skip(), gr.skip())  # the form keeps what it holds
    assert visit.result is not None
    assert [each.file.source for each in visit.pinned] == [visit.result.pictures[0].file.source]
