"""Events to what the page shows: pictures, strip, progress, and a sentence where there is no picture."""

import logging
import re
from collections.abc import Callable, Iterator

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import Event, Finished, Stopped
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Request, Resolved, parse
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.generate.stream import RunView, run_views
from sd3demo.ui.run.errors import UNEXPECTED, sentence
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.picture_verdicts import verdicts_of
from sd3demo.ui.run.result import ResultPicture, RunResult
from sd3demo.ui.run.run_status import RunStatus, status_html
from sd3demo.ui.server.gradio_internals import ServedFile
from tests.ui.fake_page import events

HTML = "<script>alert(1)</script> & <img src=x onerror=alert(2)>"


def made(**values: object) -> Plan:
    asked = {"prompt": "a red circle", "model": "sd3-medium", "steps": 12} | values
    return plan(parse(Request, asked), CATALOGUE["sd3-medium"], Budget())


def write(request: Resolved, finished: Finished) -> tuple[ServedFile, ...]:
    return tuple(
        ServedFile(f"/tmp/{k}.png", f"file={k}.png", f"{k}.png") for k in range(len(finished.pictures))
    )


def shown(
    asked: Plan,
    run: Callable[[Plan], Iterator[Event]] = events,
    previous: RunResult | None = None,
    save: Callable[[Resolved, Finished], str] = lambda request, finished: "",
) -> Iterator[tuple[RunStatus, RunView]]:
    return run_views(asked, run(asked), write=write, save=save, judge=verdicts_of, previous=previous)


def before(asked: Plan) -> RunResult:
    """A finished result, to compare the next one with."""
    file = ServedFile("/tmp/before.png", "file=before.png", "before.png")
    return RunResult(asked.request, "finished", (ResultPicture(file),))


def test_a_run_shows_each_step_and_ends_in_the_picture() -> None:
    seen = list(shown(made()))
    steps = [(status, view) for status, view in seen if status.step]
    assert [status.step for status, _ in steps] == list(range(1, 13))
    assert {status.count for status, _ in steps} == {12}
    assert len({view.pictures for _, view in steps}) == 12  # the preview changes with every step
    assert "about 0.0 s left" in steps[-1][0].text
    status, last = seen[-1]
    assert 'src="file=0.png"' in last.pictures
    assert 'download="0.png"' in last.pictures
    assert last.result is not None
    assert (last.result.state, last.result.request) == ("finished", made().request)
    assert [each.file.name for each in last.result.pictures] == ["0.png"]
    assert (status.phase, status.text) == ("finished", "Done in 1.4 s.")  # loading the model is not counted


def test_what_is_said_beside_a_picture_is_of_its_own_run_from_the_first_step_on() -> None:
    states = []
    for status, view in shown(made(prompt="a blue star"), previous=before(made())):
        if view.pictures is None:
            assert view.story is view.result is None  # the run before stands there whole
            continue
        assert view.result is not None
        assert "a blue star" in str(view.story)
        assert f'data-result="{view.result.key}"' in view.pictures
        assert ("<dl" in str(view.story)) is not bool(status.step)  # figures come with the picture
        states.append(view.result.state)
    assert states == ["running"] * 12 + ["finished"]


def test_what_the_history_could_not_keep_is_said_beside_the_end() -> None:
    *_, (status, _) = shown(made(), save=lambda request, finished: "the disk is full")
    assert status.note == "the disk is full"


def test_a_picture_is_kept_though_its_file_cannot_be_written() -> None:
    kept: list[Resolved] = []

    def save(request: Resolved, finished: Finished) -> str:
        kept.append(request)
        return ""

    def refuse(request: Resolved, finished: Finished) -> tuple[ServedFile, ...]:
        raise Refusal("the disk is full")

    asked = made(steps=2)
    with pytest.raises(Refusal, match="the disk is full"):
        list(run_views(asked, events(asked), write=refuse, save=save, judge=verdicts_of, previous=None))
    assert kept == [asked.request]


@pytest.mark.parametrize(("steps", "frames"), [(1, 1), (3, 3), (8, 8), (28, 8)])
def test_the_strip_has_up_to_eight_frames_from_the_first_step_to_the_last(steps: int, frames: int) -> None:
    *_, (_, last) = shown(made(steps=steps))
    times = [float(t) for t in re.findall(r"<i>t</i> ([\d.]+)", last.strip)]
    assert len(times) == frames
    assert times[0] == 1
    assert times == sorted(times, reverse=True)


def test_several_pictures_are_all_shown() -> None:
    *_, (_, forming), (_, last) = shown(made(count=3, steps=2))
    assert forming.pictures.count("<img") == last.pictures.count("<img") == 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refusal("steps is 1000; it must lie in [1, 100]"), "Steps is 1000; it must lie in [1, 100]"),
        (Refusal("cfg is nan; it must lie in [1, 30]"), "CFG scale is nan; it must lie in [1, 30]"),
        (Failure("the latent is not\nfinite"), "the latent is not finite"),
    ],
)
def test_an_error_is_one_sentence_that_names_the_setting_as_the_page_does(
    error: Exception, said: str
) -> None:
    assert sentence(error, titles(Request)) == said


def test_a_fault_of_ours_shows_no_traceback_and_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        said = sentence(KeyError("/home/somebody/secret"), {})
    assert said == UNEXPECTED
    assert "secret" in caplog.text


def test_a_stopped_run_says_after_which_step() -> None:
    def stopping(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[:6]
        yield Stopped("native", 3)

    with pytest.raises(RunStopped) as stop:
        list(shown(made(), stopping))
    assert stop.value.steps == 3


def test_closing_what_is_shown_closes_the_run() -> None:
    closed: list[bool] = []

    def run(plan: Plan) -> Iterator[Event]:
        try:
            yield from events(plan)
        finally:
            closed.append(True)

    seen = shown(made(), run)
    while next(seen)[0].step != 2:
        assert not closed
    seen.close()
    assert closed


@pytest.mark.parametrize(
    ("asked", "earlier", "is_there"),
    [
        ({}, {}, True),
        ({"width": 512, "height": 512}, {}, True),
        ({"width": 512, "height": 768}, {}, False),
        ({"count": 2}, {}, False),
        ({}, {"count": 2}, False),
    ],
)
def test_the_previous_picture_lies_under_the_new_one_where_the_two_can_be_compared(
    asked: dict[str, object], earlier: dict[str, object], is_there: bool
) -> None:
    previous = before(made(steps=2, **earlier))
    *_, (_, last) = shown(made(steps=2, **asked), previous=previous)
    assert ("file=before.png" in last.pictures) is is_there
    assert ("range" in last.pictures) is is_there


@pytest.mark.parametrize("field", ["prompt", "negative", "prompt_3"])
def test_html_in_a_prompt_is_shown_as_text(field: str) -> None:
    asked = made(steps=2, **{field: HTML})
    previous = before(made(steps=2))
    for status, view in shown(asked, previous=previous):
        for part in (view.pictures or "", view.strip or "", status_html(status), view.story or ""):
            assert "<script" not in part
            assert "<img src=x" not in part
            assert "onerror=alert" not in part.replace("&lt;img src=x onerror=alert", "")


def test_every_picture_has_an_alternative_text() -> None:
    for _, view in shown(made(steps=3, count=2)):
        for image in re.findall("<img [^>]*>", (view.pictures or "") + (view.strip or "")):
            assert re.search('alt="[^"]{10,}"', image)
