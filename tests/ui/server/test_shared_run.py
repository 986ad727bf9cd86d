"""A batch that several calls read: each run is told of, stopped and ended as if it were alone."""

import json
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NoReturn

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import BatchEvent, Event, Finished, Loading, StepDone, Stopped
from sd3demo.errors import Failure
from sd3demo.settings import Request
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.server import run_log, shared_run
from sd3demo.ui.server.shared_run import SharedRun
from tests.ui.fake_page import Rehearsal, events


def waiting(count: int) -> list[Plan]:
    return [
        plan(Request(prompt=f"{place}", seed=place, steps=4), find("tiny"), Budget())
        for place in range(count)
    ]


def step_by_step(
    plans: Sequence[Plan], cancelled: Callable[[int], bool]
) -> Generator[BatchEvent, None, None]:
    """A batch of made-up events, a step of each run in turn."""
    yield BatchEvent(0, Loading("tiny", 5))
    left = {place: iter(list(events(each))[1:]) for place, each in enumerate(plans)}
    while left:
        for place, of_run in list(left.items()):
            event = Stopped("native", 0) if cancelled(place) else next(of_run)
            yield BatchEvent(place, event)
            if isinstance(event, Finished | Stopped):
                del left[place]


def nobody_waits_for_nothing() -> None:
    """For `check`: the call is still wanted."""


def never_alone(plan: Plan) -> NoReturn:
    raise AssertionError("no run had to go alone")


def test_each_run_has_the_events_that_it_would_have_alone() -> None:
    plans = waiting(3)
    shared = SharedRun(plans)
    for place, each in enumerate(plans):
        news = list(shared.events(place, step_by_step, never_alone, nobody_waits_for_nothing))
        assert [type(event) for event in news] == [type(event) for event in events(each)]
        (end, wanted) = news[-1], list(events(each))[-1]
        assert isinstance(end, Finished)
        assert isinstance(wanted, Finished)
        assert end.noise_sha256 == wanted.noise_sha256
        shared.leave(place)


def test_who_leaves_does_not_stop_the_others_and_a_slow_reader_holds_up_nobody() -> None:
    shared = SharedRun(waiting(3))
    slow = shared.events(0, step_by_step, never_alone, nobody_waits_for_nothing)
    next(slow)  # and no more for now
    shared.leave(1)
    quick = list(shared.events(2, step_by_step, never_alone, nobody_waits_for_nothing))
    assert isinstance(quick[-1], Finished)
    assert isinstance(list(slow)[-1], Finished)


def test_the_last_one_to_leave_waits_for_the_step_that_goes_on() -> None:
    go, ended = threading.Event(), threading.Event()

    def together(
        plans: Sequence[Plan], cancelled: Callable[[int], bool]
    ) -> Generator[BatchEvent, None, None]:
        yield BatchEvent(0, Loading("tiny", 5))
        go.wait(60)
        ended.set()

    shared = SharedRun(waiting(2))
    next(shared.events(0, together, Rehearsal().run, nobody_waits_for_nothing))
    shared.leave(0)
    assert not ended.is_set()
    threading.Timer(0.05, go.set).start()
    shared.leave(1)
    assert ended.is_set()


def test_a_call_that_is_cancelled_while_nothing_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_run, "LOOK", 0.01)
    go = threading.Event()

    def together(
        plans: Sequence[Plan], cancelled: Callable[[int], bool]
    ) -> Generator[BatchEvent, None, None]:
        go.wait(60)
        yield from step_by_step(plans, cancelled)

    def not_wanted() -> None:
        raise RunStopped(0)

    shared = SharedRun(waiting(2))
    with pytest.raises(RunStopped):
        next(shared.events(0, together, never_alone, not_wanted))
    shared.leave(0)
    go.set()
    assert isinstance(list(shared.events(1, together, never_alone, nobody_waits_for_nothing))[-1], Finished)


def test_what_fails_together_is_made_one_after_another_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, run_log.log.name)

    def together(
        plans: Sequence[Plan], cancelled: Callable[[int], bool]
    ) -> Generator[BatchEvent, None, None]:
        for of in step_by_step(plans, cancelled):
            yield of
            if isinstance(of.event, StepDone) and of.event.index == 1:
                raise RuntimeError("cuBLAS did not like it")

    def alone(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[: 3 if plan.request.prompt == "1" else None]
        if plan.request.prompt == "1":
            raise Failure("the latent is not finite")

    shared = SharedRun(waiting(3))
    rest = (together, alone, nobody_waits_for_nothing)
    assert isinstance(list(shared.events(0, *rest))[-1], Finished)
    with pytest.raises(Failure, match="not finite"):
        list(shared.events(1, *rest))
    assert isinstance(list(shared.events(2, *rest))[-1], Finished)
    (line,) = [json.loads(each.message) for each in caplog.records if each.name == run_log.log.name]
    assert (line["event"], line["runs"], line["left"]) == ("batch", 3, 3)
    assert (line["outcome"], line["error"]) == ("one after another", "RuntimeError")
