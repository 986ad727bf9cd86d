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
from sd3demo.ui.generate.stream import Kept, Past, View, views
from tests.ui.fake_page import events

HTML = "<script>alert(1)</script> & <img src=x onerror=alert(2)>"


def made(**values: object) -> Plan:
    asked = {"prompt": "a red circle", "model": "sd3-medium", "steps": 12} | values
    return plan(parse(Request, asked), CATALOGUE["sd3-medium"], Budget())


def keep(request: Resolved, finished: Finished) -> tuple[Kept, ...]:
    return tuple(Kept(f"/tmp/{k}.png", f"file={k}.png", f"{k}.png") for k in range(len(finished.pictures)))


def shown(asked: Plan, run: Callable[[Plan], Iterator[Event]] = events) -> list[View]:
    return list(views(lambda: asked, run, keep, None))


def test_a_run_shows_each_step_and_ends_in_the_picture() -> None:
    seen = shown(made())
    steps = [view for view in seen if "Step " in view.status]
    assert [re.search(r"Step (\d+) of 12", view.status)[1] for view in steps] == [
        str(k) for k in range(1, 13)
    ]
    assert len({view.pictures for view in steps}) == 12  # the preview changes with every step
    assert "about 0.0 s left" in steps[-1].status
    last = seen[-1]
    assert 'src="file=0.png"' in last.pictures
    assert 'download="0.png"' in last.pictures
    assert last.past == Past(made().request, "file=0.png")
    assert [file.name for file in last.files] == ["0.png"]
    assert "Done in 1.4 s" in last.status  # reading the model is not counted


@pytest.mark.parametrize(("steps", "frames"), [(1, 1), (3, 3), (8, 8), (28, 8)])
def test_the_strip_has_up_to_eight_frames_from_the_first_step_to_the_last(steps: int, frames: int) -> None:
    last = shown(made(steps=steps))[-1]
    times = [float(t) for t in re.findall(r"<i>t</i> ([\d.]+)", last.strip)]
    assert len(times) == frames
    assert times[0] == 1
    assert times == sorted(times, reverse=True)


def test_several_pictures_are_all_shown() -> None:
    seen = shown(made(count=3, steps=2))
    assert seen[-2].pictures.count("<img") == seen[-1].pictures.count("<img") == 3


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Refusal("steps is 1000; it must lie in [1, 100]"), "Steps is 1000; it must lie in [1, 100]."),
        (Refusal("cfg is nan; it must lie in [1, 30]"), "Guidance scale is nan; it must lie in [1, 30]."),
        (Failure("the latent is not\nfinite"), "The latent is not finite."),
        (Refusal(f"unknown model {HTML!r}"), "Unknown model &#x27;&lt;script&gt;"),
    ],
)
def test_an_error_is_one_sentence_and_leaves_the_rest_of_the_page(error: Exception, sentence: str) -> None:
    def refuse() -> Plan:
        raise error

    last = list(views(refuse, events, keep, None))[-1]
    assert sentence in last.status
    assert 'role="alert"' in last.status
    assert last == View(status=last.status)


def test_a_fault_of_ours_shows_no_traceback_and_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[:6]
        raise KeyError("/home/somebody/secret")

    with caplog.at_level(logging.ERROR):
        last = shown(made(), broken)[-1]
    assert "secret" not in last.status
    assert "went wrong" in last.status
    assert "secret" in caplog.text


def test_a_stopped_run_says_after_which_step() -> None:
    def stopping(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[:6]
        yield Stopped("native", 3)

    assert "Stopped after 3 steps" in shown(made(), stopping)[-1].status


def test_closing_what_is_shown_closes_the_run() -> None:
    closed: list[bool] = []

    def run(plan: Plan) -> Iterator[Event]:
        try:
            yield from events(plan)
        finally:
            closed.append(True)

    seen = views(made, run, keep, None)
    while "Step 2" not in next(seen).status:
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
def test_the_picture_before_lies_under_the_new_one_where_the_two_can_be_compared(
    asked: dict[str, object], earlier: dict[str, object], is_there: bool
) -> None:
    past = Past(made(steps=2, **earlier).request, "file=before.png")
    last = list(views(lambda: made(steps=2, **asked), events, keep, past))[-1]
    assert ("file=before.png" in last.pictures) is is_there
    assert ("range" in last.pictures) is is_there


@pytest.mark.parametrize("field", ["prompt", "negative", "prompt_3"])
def test_html_in_a_prompt_is_shown_as_text(field: str) -> None:
    asked = made(steps=2, **{field: HTML})
    before = Past(made(steps=2).request, "file=before.png")
    for view in views(lambda: asked, events, keep, before):
        for part in (view.pictures, view.strip, view.status, view.story):
            assert "<script" not in part
            assert "<img src=x" not in part
            assert "onerror=alert" not in part.replace("&lt;img src=x onerror=alert", "")


def test_every_picture_has_an_alternative_text() -> None:
    for view in shown(made(steps=3, count=2)):
        for image in re.findall("<img [^>]*>", view.pictures + view.strip):
            assert re.search('alt="[^"]{10,}"', image)
