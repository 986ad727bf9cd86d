"""Start and Stop on every tab: what the status says at once, and how a run is said to end."""

import threading
from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy

import gradio as gr
import pytest
from gradio.block_function import BlockFunction

from sd3demo.errors import Failure, Refusal
from sd3demo.ui import Core, build
from sd3demo.ui.run import wiring
from sd3demo.ui.run.errors import UNEXPECTED
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.run_status import (
    NOT_STARTED,
    STARTING,
    STOPPING,
    WAITING,
    RunStatus,
    failed,
    finished,
    running,
    status_html,
    stopped,
)
from sd3demo.ui.server.gradio_internals import Call
from tests.ui.fake_page import Rehearsal

STEP = running("Step 3 of 8", step=3, count=8)
ENDS = [RunStatus(), finished("Done."), failed("no"), stopped(STEP, "Stopped.")]


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return build(Core(("tiny",), Rehearsal().run))


def test_every_run_that_can_be_stopped_says_afterwards_how_far_it_came(page: gr.Blocks) -> None:
    events = page.get_config_file()["dependencies"]
    cancelled = [run for event in events for run in event["cancels"]]
    answered = [event["trigger_after"] for event in events if event["trigger_only_on_failure"]]
    assert (
        len(cancelled) >= 6
    )  # Generate, grid, Verify, Trajectories, two that enlarge; others are built late
    assert sorted(cancelled) == sorted(answered)


def test_every_stop_is_seen_before_the_run_has_ended(page: gr.Blocks) -> None:
    stops = {
        target for event in page.config["dependencies"] if event["cancels"] for target in event["targets"]
    }
    seen = {
        target
        for fn in page.fns.values()
        if getattr(fn.fn, "func", None) is wiring.stopping
        for target in fn.targets
    }
    assert stops == seen


def test_every_run_waits_in_a_queue_and_says_so_first(page: gr.Blocks) -> None:
    fns = page.fns
    runs = [fn for fn in fns.values() if fn.concurrency_id == wiring.QUEUE and fn.api_visibility == "private"]
    assert len(runs) >= 6
    for run in runs:
        first = fns[run.trigger_after].fn
        first = getattr(first, "func", first)
        assert first is wiring.queued or first.__name__ in ("pressed", "twin")  # these take the press down
        assert isinstance(run.outputs[0], gr.State)


@pytest.mark.parametrize("status", ENDS)
def test_a_click_where_nothing_runs_waits_for_its_turn(status: RunStatus) -> None:
    assert wiring.queued(status) == [WAITING, status_html(WAITING)]
    assert wiring.stopping(None, status) == [gr.skip()] * 2


@pytest.mark.parametrize("status", [WAITING, STARTING, STEP])
def test_a_click_while_a_run_goes_on_says_nothing_and_stop_that_it_stops(status: RunStatus) -> None:
    assert wiring.queued(status) == [gr.skip(), gr.skip()]
    now, html = wiring.stopping(None, status)
    if status.phase == "running":
        assert (now, STOPPING in str(html)) == (gr.skip(), True)
    else:
        assert now == failed(NOT_STARTED)


def stoppable(page: gr.Blocks) -> list[tuple[BlockFunction, BlockFunction, list[BlockFunction]]]:
    """Every run that can be stopped: the answer to its press, the run, and the answers to its Stop."""
    found = []
    stops = [fn for fn in page.fns.values() if getattr(fn.fn, "func", None) is wiring.stopping]
    for run in page.fns.values():
        if run.concurrency_id == wiring.QUEUE and run.api_visibility == "private":
            own = [stop for stop in stops if stop.inputs[0] is run.inputs[0]]
            found.append((page.fns[run.trigger_after], run, own))
    return found


def test_a_stop_between_a_press_and_its_run_takes_the_press_back_on_every_tab(page: gr.Blocks) -> None:
    """In the order of a browser that has not sent the run yet: the press is answered, Stop, then the run."""
    assert len(stoppable(page)) >= 6
    for press, run, stops in stoppable(page):
        if press.fn is wiring.queued:
            status, _ = wiring.queued(RunStatus())
        else:
            status = WAITING  # a press that a visit holds: see test_one_result
        assert isinstance(status, RunStatus)
        assert stops
        for stop in stops:
            values = [deepcopy(one.value) for one in stop.inputs[1:]]
            now, html, *_ = stop.fn(status, *values)
            assert NOT_STARTED in str(html) or now == gr.skip()
        values = [None for _ in run.inputs[1:]]
        assert list(run.fn(status, *values)) == [[gr.skip()] * len(run.outputs)]


def test_a_press_after_a_stop_begins_anew() -> None:
    first, _ = wiring.queued(RunStatus())
    assert isinstance(first, RunStatus)
    stopped_, _ = wiring.stopping(None, first)
    assert isinstance(stopped_, RunStatus)
    second, _ = wiring.queued(stopped_)
    assert isinstance(second, RunStatus)
    assert (first.stop.asked, second.stop.asked) == (True, False)


def test_a_stop_that_reaches_a_run_which_the_browser_did_not_cancel_ends_it() -> None:
    closed = []

    def stream() -> Generator[list[object], None, None]:
        try:
            yield [STARTING, "", "half"]
            yield [STEP, "", "half"]
            yield [finished("Done."), "", "whole"]
        finally:
            closed.append(True)

    status, _ = wiring.queued(RunStatus())
    assert isinstance(status, RunStatus)
    updates = wiring.unless_stopped(stream, 1, status)
    now = next(updates)[0]
    assert isinstance(now, RunStatus)
    wiring.stopping(None, now)
    with pytest.raises(gr.Error) as raised:
        list(updates)
    assert (raised.value.visible, closed) == (False, [True])


def ended(status: RunStatus, more: str) -> list[object]:
    return [f"Stopped after step {status.step}.", more]


def test_a_run_that_was_stopped_says_how_far_it_came() -> None:
    now, html, more = wiring._ended(ended, STEP, "more")
    assert now == stopped(STEP, "Stopped after step 3.")
    assert (html, more) == (status_html(now), "more")


def test_a_run_that_never_began_says_so() -> None:
    now, html, more = wiring._ended(ended, WAITING, "more")
    assert now == failed(NOT_STARTED)
    assert NOT_STARTED in str(html)
    assert more == "more"


@pytest.mark.parametrize("status", ENDS)
def test_a_run_that_has_said_its_end_is_left_with_it(status: RunStatus) -> None:
    assert wiring._ended(ended, status, "more") == [gr.skip(), gr.skip(), "more"]


def through(answer: wiring.Answer, on_error: object = None) -> list[list[object]]:
    return list(wiring.streamed(answer, {"steps": "Steps"}, 1, on_error))  # type: ignore[arg-type]


def test_a_run_goes_from_its_turn_to_its_end() -> None:
    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        yield STEP, ["half"]
        yield finished("Done."), ["whole"]

    assert through(answer) == [
        [STARTING, status_html(STARTING), gr.skip()],
        [STEP, status_html(STEP), "half"],
        [finished("Done."), status_html(finished("Done.")), "whole"],
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refusal("steps is 0; it must lie in [1, 100]"), failed("Steps is 0; it must lie in [1, 100]")),
        (Failure("the latent is not finite"), failed("the latent is not finite")),
        (KeyError("secret"), failed(UNEXPECTED)),
        (RunStopped(2), stopped(STEP, "Stopped after step 2.")),
    ],
)
def test_what_a_run_raises_is_a_sentence_and_leaves_what_was_shown(
    error: Exception, status: RunStatus
) -> None:
    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        yield STEP, ["half"]
        raise error

    assert through(answer)[-1] == [status, status_html(status), gr.skip()]


def test_an_error_can_clear_what_was_shown() -> None:
    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        raise Refusal("no")
        yield

    assert through(answer, lambda: ["gone"])[-1][2] == "gone"


def test_a_run_that_says_no_end_is_unfinished() -> None:
    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        yield STEP, ["half"]

    assert through(answer)[-1][0] == failed("the run stopped before it was finished")


def test_an_error_of_gradio_goes_on_to_gradio_and_the_run_is_over() -> None:
    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        raise gr.Error("no quota left")
        yield

    updates = wiring.streamed(answer, {}, 1, None)
    next(updates)
    assert next(updates)[0] == failed("no quota left")
    with pytest.raises(gr.Error, match="no quota left"):
        next(updates)


def test_closing_the_updates_closes_the_run() -> None:
    closed = []

    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        try:
            yield STEP, ["half"]
            yield finished(""), ["whole"]
        finally:
            closed.append(True)

    updates = wiring.streamed(answer, {}, 1, None)
    next(updates), next(updates)
    assert not closed
    updates.close()
    assert closed


@pytest.mark.parametrize(
    ("saved", "left", "goes_on"),
    [(True, True, True), (True, False, False), (False, True, False)],
    ids=["left", "stopped", "left, and kept nowhere"],
)
def test_a_run_goes_on_when_its_visitor_leaves_and_not_when_it_is_stopped(
    saved: bool, left: bool, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, over = [], threading.Event()

    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        how = "closed"
        try:
            yield STEP, ["half"]
            yield finished("Done."), ["whole"]
            how = "finished"
        finally:
            ended.append(how)
            over.set()

    monkeypatch.setattr(wiring, "current_call", lambda: Call("me", lambda: not left, lambda: left))
    updates = wiring.streamed(answer, {}, 1, None, saved=saved)
    next(updates), next(updates)
    updates.close()
    assert over.wait(timeout=60)
    assert ended == ["finished" if goes_on else "closed"]


def test_what_goes_wrong_in_a_run_that_was_left_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def answer() -> Iterator[tuple[RunStatus, Sequence[object]]]:
        yield STEP, ["half"]
        raise Failure("the latent is not finite")

    threads: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda one: (threads.append(one), start(one)))
    monkeypatch.setattr(wiring, "current_call", lambda: Call("me", lambda: False, lambda: True))
    updates = wiring.streamed(answer, {}, 1, None, saved=True)
    next(updates), next(updates)
    updates.close()
    threads[-1].join(timeout=60)
    assert "a run whose visitor had left failed: the latent is not finite" in caplog.text
