"""Runs that lend the engine between their steps: equal to the last bit, and never a lock that stays."""

import numpy as np
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Engine, Plan, plan
from sd3demo.engine.events import ArmFinished, Finished, StepDone, Stopped
from sd3demo.engine.run.turn import EngineLock, Turn
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation

pytestmark = pytest.mark.usefixtures("shared_weights")


def planned(prompt: str = "a red circle", **given: object) -> Plan:
    values = {"prompt": prompt, "model": "tiny", "steps": 4, **given}
    return plan(parse(Request, values), find("tiny"), Budget())


def pictures(engine: Engine, wanted: Plan) -> tuple[np.ndarray, ...]:
    *_, last = engine.run(wanted)
    assert isinstance(last, Finished)
    return last.pictures


def test_runs_that_take_turns_at_every_event_are_those_that_go_alone() -> None:
    plans = [planned(), planned("a blue square", t5="zeros", seed=3), planned("a", solver="heun", count=2)]
    alone = [pictures(Engine(), each) for each in plans]
    engine, ended = Engine(), {}
    going = {place: engine.run(each, lends=True) for place, each in enumerate(plans)}
    while going:
        for place, events in list(going.items()):
            event = next(events, None)
            if event is None:
                del going[place]
            elif isinstance(event, Finished):
                ended[place] = event.pictures
    for place, expected in enumerate(alone):
        assert all(np.array_equal(a, b) for a, b in zip(ended[place], expected, strict=True))


def test_an_enlargement_that_lends_the_engine_is_the_one_that_does_not() -> None:
    given = {"prompt": "a red circle", "model": "tiny", "steps": 3, "scale": 2, "method": "projected"}
    enlarged = plan(parse(Extrapolation, given), find("tiny"), Budget())
    expected = pictures(Engine(), enlarged)
    engine, found = Engine(), None
    for event in engine.run(enlarged, lends=True):
        if isinstance(event, StepDone | ArmFinished):
            pictures(engine, planned("a blue square"))  # another run between any two of its steps
        if isinstance(event, Finished):
            found = event.pictures
    assert found is not None
    assert np.array_equal(found[0], expected[0])


def test_a_batch_lends_the_engine_between_its_steps() -> None:
    plans = [planned(), planned("a blue square")]
    expected = [pictures(Engine(), each) for each in plans]
    engine, found = Engine(), {}
    for news in engine.run_batch(plans, lends=True):
        pictures(engine, planned("a green ring"))
        if isinstance(news.event, Finished):
            found[news.run] = news.event.pictures[0]
    for place, (picture,) in enumerate(expected):
        assert np.abs(found[place].astype(int) - picture).max() <= 1


def test_the_seconds_of_a_run_leave_out_those_of_others() -> None:
    engine = Engine()
    events = engine.run(planned(), lends=True)
    turn = next(event for event in events if isinstance(event, StepDone))
    with engine.hold(planned()):
        pass
    later = next(events)
    assert isinstance(later, StepDone)
    *_, last = events
    assert isinstance(last, Finished)
    assert turn.seconds <= later.seconds <= sum(last.seconds.values())


def test_the_clock_of_a_turn_stands_still_while_others_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("sd3demo.engine.run.turn.time.perf_counter", lambda: now[0])
    lock = EngineLock()
    turn = Turn(lock, lambda: False)
    assert turn.take()
    for others, passes in ((True, 0.0), (False, 5.0)):
        before, lending = turn.clock(), turn.lend("event")
        assert next(lending) == "event"
        now[0] += 5.0
        if others:
            with lock:
                pass
        with pytest.raises(StopIteration):
            next(lending)
        assert turn.clock() - before == passes
    turn.give_back()


def test_a_run_that_is_closed_while_it_lends_leaves_the_engine_to_the_others() -> None:
    engine = Engine()
    events = engine.run(planned(), lends=True)
    next(event for event in events if isinstance(event, StepDone))
    other = engine.run(planned("a blue square"))  # holds the engine
    next(other)
    events.close()
    *_, last = other
    assert isinstance(last, Finished)
    assert pictures(engine, planned())


def test_a_run_that_is_stopped_while_it_waits_for_the_engine_ends() -> None:
    engine, stopped = Engine(), [False]
    events = engine.run(planned(), lends=True, stop=lambda: stopped[0])
    done = next(event for event in events if isinstance(event, StepDone))
    other = engine.run(planned("a blue square"))
    next(other)
    stopped[0] = True
    assert list(events) == [Stopped(done.stage, 1)]
    other.close()
    assert pictures(engine, planned())
