"""The one loop over events: whole, stopped, unfinished and closed."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.engine.events import Event, Finished, StepDone, Stopped
from sd3demo.errors import Failure
from sd3demo.settings import Request, parse
from sd3demo.ui.run.events import RunStopped, result_of, run_events
from tests.ui.fake_page import Rehearsal

PLAN = plan(parse(Request, {"prompt": "a red circle", "steps": 3}), find("tiny"), Budget())


def test_a_run_goes_to_its_end_and_its_result_is_the_last_event() -> None:
    rehearsal = Rehearsal()
    seen = list(run_events(rehearsal.run(PLAN)))
    assert isinstance(seen[-1], Finished)
    assert sum(isinstance(event, StepDone) for event in seen) == 3
    assert rehearsal.ended == ["finished"]
    assert isinstance(result_of(Rehearsal().run(PLAN)), Finished)


def test_closing_the_loop_closes_the_run() -> None:
    rehearsal = Rehearsal()
    with closing(run_events(rehearsal.run(PLAN))) as events:
        next(events)
    assert rehearsal.ended == ["closed"]


def cut_short(*last: Event) -> Iterator[Event]:
    yield from list(Rehearsal().run(PLAN))[:4]
    yield from last


@pytest.mark.parametrize("take", [list, result_of])
def test_a_run_that_was_stopped_says_after_how_many_steps(take: object) -> None:
    with pytest.raises(RunStopped) as stop:
        take(run_events(cut_short(Stopped("native", 2))) if take is list else cut_short(Stopped("native", 2)))
    assert stop.value.steps == 2


def test_a_run_without_a_result_is_a_failure() -> None:
    with pytest.raises(Failure, match="stopped before it was finished"):
        list(run_events(cut_short()))
    with pytest.raises(Failure, match="stopped before it was finished"):
        result_of(cut_short())
