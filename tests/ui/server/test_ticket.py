"""Long runs that give way between two steps: when, to whom, and that nobody waits for ever."""

from dataclasses import replace

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan.interleaving import resting_model
from sd3demo.engine.plan.memory import HeldModel
from sd3demo.settings import Request, parse
from sd3demo.ui.run.run_status import run_status
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import SLICE, Line
from sd3demo.ui.server.ticket import Ticket, Waiting
from tests.ui.server.set_clock import SetClock

TINY = HeldModel("tiny", "", "", (), "float32", "cpu", "resident")
ONE, OTHER = frozenset({TINY}), frozenset({replace(TINY, name="other")})


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def line(clock: SetClock) -> Line:
    return Line(parse(Limits, {}), clock)


def finish_times(line: Line, clock: SetClock, tickets: list[Ticket], step: float = 0.1) -> dict[str, float]:
    """When each of these runs ends, in seconds from now, if each takes what was planned, step by step."""
    begun, left = clock.now, {ticket: round(ticket.seconds / step) for ticket in tickets}
    ended: dict[str, float] = {}
    while left:
        with line.changed:
            (ticket,) = [each for each in left if line.place(each) is None]
        clock.now += step
        left[ticket] -= 1
        if left[ticket]:
            line.break_off(ticket)
        else:
            del left[ticket]
            line.leave(ticket)
            ended[ticket.visitor] = round(clock.now - begun, 3)
    return ended


def test_short_runs_do_not_wait_for_the_end_of_a_long_one(line: Line, clock: SetClock) -> None:
    tickets = [line.join("long", 60.0, keeps=ONE)]
    tickets += [line.join(visitor, 1.0, keeps=ONE) for visitor in "abc"]
    ended = finish_times(line, clock, tickets)
    assert ended == {"a": SLICE + 1, "b": SLICE + 2, "c": SLICE + 3, "long": 63.0}


def test_a_run_that_cannot_wait_between_steps_goes_on_to_its_end(line: Line, clock: SetClock) -> None:
    tickets = [line.join("long", 60.0), line.join("short", 1.0, keeps=ONE)]
    assert finish_times(line, clock, tickets) == {"long": 60.0, "short": 61.0}


def test_a_run_gives_no_way_to_another_model(line: Line, clock: SetClock) -> None:
    """Two models at once may have no room. The other one waits, also behind new runs of this one."""
    tickets = [line.join("long", 10.0, keeps=ONE), line.join("other", 1.0, keeps=OTHER)]
    tickets += [line.join("short", 1.0, keeps=ONE)]
    assert finish_times(line, clock, tickets) == {"long": 10.0, "other": 11.0, "short": 12.0}


def test_what_has_begun_ends_before_another_model_comes(line: Line, clock: SetClock) -> None:
    long, short = line.join("long", 10.0, keeps=ONE), line.join("short", 5.0, keeps=ONE)
    clock.now += SLICE
    assert line.break_off(long)
    other = line.join("other", 1.0, keeps=OTHER)
    long.seconds, left = 10.0 - SLICE, [long, short, other]
    assert finish_times(line, clock, left)["other"] == 14.0


def test_a_run_that_keeps_nothing_gives_way_to_every_model(line: Line, clock: SetClock) -> None:
    tickets = [line.join("lab", 10.0, keeps=frozenset()), line.join("a", 1.0, keeps=ONE)]
    tickets += [line.join("b", 1.0, keeps=OTHER)]
    assert finish_times(line, clock, tickets) == {"a": SLICE + 1, "b": SLICE + 2, "lab": 12.0}


def test_two_long_runs_take_turns(line: Line, clock: SetClock) -> None:
    tickets = [line.join(visitor, 10.0, keeps=ONE) for visitor in "ab"]
    ended = finish_times(line, clock, tickets)
    assert ended["b"] == 20.0
    assert ended["a"] >= 20.0 - 2 * SLICE


def test_another_run_of_the_same_visitor_goes_behind_the_whole_of_the_first(
    line: Line, clock: SetClock
) -> None:
    first, second = line.join("me", 10.0, keeps=ONE), line.join("me", 1.0, keeps=ONE)
    clock.now += 5.0
    assert not line.break_off(first)
    line.leave(first)
    with line.changed:
        assert line.place(second) is None


def test_whoever_gave_way_is_told_so(line: Line, clock: SetClock) -> None:
    long = line.join("long", 10.0, keeps=ONE)
    line.join("short", 3.0, keeps=ONE)
    clock.now += 4.0
    news = next(long.between_steps())
    assert news == Waiting(1, 1, 3.0, begun=True)
    status = run_status(news)
    assert status is not None
    assert status.text == "Paused between two steps: one run first, about 3 s"


def test_the_seconds_of_all_turns_are_counted(line: Line, clock: SetClock) -> None:
    long, short = line.join("long", 10.0, keeps=ONE), line.join("short", 3.0, keeps=ONE)
    clock.now += 4.0
    assert line.break_off(long)
    clock.now += 3.0
    line.leave(short)
    clock.now += 1.0
    assert (long.spent, long.elapsed) == (5.0, 1.0)
    assert line.seconds == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("device", "placement", "waits"),
    [("cpu", "auto", True), ("cuda", "resident", False), ("cuda", "streamed", False)],
)
def test_runs_on_a_cpu_can_wait_between_steps(device: str, placement: str, waits: bool) -> None:
    given = {"prompt": "a", "model": "sd3-medium", "placement": placement}
    planned = plan(parse(Request, given), find("sd3-medium"), Budget(device, 64 * 2**30))  # type: ignore[arg-type]
    assert (resting_model(planned) is not None) == waits


def test_what_a_run_reads_of_its_model_does_not_make_it_another_one() -> None:
    kept = [
        resting_model(
            plan(parse(Request, {"prompt": "a", "model": "tiny", "t5": t5}), find("tiny"), Budget())
        )
        for t5 in ("on", "zeros")
    ]
    assert kept[0] == kept[1] is not None


def test_equal_runs_cost_the_same_however_busy_the_page_was(line: Line, clock: SetClock) -> None:
    """Whoever's run took long by accident is served in turn all the same."""
    for visitor, took in (("unlucky", 2.0), ("lucky", 0.5)):
        with line.join(visitor, 0.6):
            clock.now += took
    going = line.join("another", 0.6)
    unlucky, lucky = line.join("unlucky", 0.6), line.join("lucky", 0.6)
    line.leave(going)
    with line.changed:
        assert line.place(unlucky) is None
        assert line.place(lucky) is not None


def test_a_plan_that_says_far_too_little_does_not_buy_turns(line: Line, clock: SetClock) -> None:
    cheat, going = line.join("cheat", 0.1), line.join("honest", 1.0)
    clock.now += 100.0
    line.leave(cheat, finished=True)
    again, another = line.join("cheat", 0.1), line.join("honest", 1.0)
    line.leave(going)
    with line.changed:
        assert line.place(another) is None
        assert line.place(again) is not None


def test_who_waits_is_told_what_runs_take_as_things_go(line: Line, clock: SetClock) -> None:
    for _ in range(200):
        with line.join("a", 0.2):
            clock.now += 1.0
    line.join("a", 0.2)
    tickets = [line.join(visitor, 0.2) for visitor in "bc"]
    with line.changed:
        last = line.place(tickets[-1])
    assert last is not None
    assert last.seconds == pytest.approx(2.0, rel=0.01)


def test_a_run_that_is_nearly_done_goes_on(line: Line, clock: SetClock) -> None:
    run = line.join("me", 1.0, keeps=ONE)
    line.join("other", 1.0, keeps=ONE)
    clock.now += SLICE + 1
    assert not line.break_off(run)
    clock.now += 3 * SLICE  # but for one whose plan was wrong
    assert line.break_off(run)
