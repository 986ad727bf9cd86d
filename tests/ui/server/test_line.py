"""The queue of the page: whose turn is next, what is refused and with which words, and that one computes."""

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.settings import Request, parse
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.server import line as lines
from sd3demo.ui.server.limits import WINDOW, Limits
from sd3demo.ui.server.line import FULL, TOO_MANY, Line, LineRefusal
from sd3demo.ui.server.ticket import Ticket, Waiting
from tests.ui.server.set_clock import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def line_of(clock: SetClock, **limits: object) -> Line:
    return Line(parse(Limits, limits), clock)


def active(line: Line, tickets: list[Ticket]) -> Ticket:
    """Whose turn it is."""
    with line.changed:
        (found,) = [ticket for ticket in tickets if line.place(ticket) is None]
    return found


def served(line: Line, clock: SetClock, tickets: list[Ticket]) -> list[str]:
    """The visitors in the order of their turns, each of which takes what was planned."""
    left, order = list(tickets), []
    while left:
        ticket = active(line, left)
        order.append(ticket.visitor)
        clock.now += ticket.seconds
        line.leave(ticket)
        left.remove(ticket)
    return order


def test_a_visitor_with_many_runs_does_not_hold_up_one_with_one(clock: SetClock) -> None:
    line = line_of(clock)
    tickets = [line.join("greedy", 4.0) for _ in range(20)]
    tickets += [line.join("late", 4.0), line.join("later", 4.0)]
    assert served(line, clock, tickets)[:4] == ["greedy", "late", "later", "greedy"]


@pytest.mark.parametrize("seed", range(20))
def test_while_all_wait_none_has_had_more_than_a_run_beyond_another(seed: int, clock: SetClock) -> None:
    rng, line = random.Random(seed), line_of(clock)
    visitors = "abcd"
    tickets = [line.join(visitor, rng.uniform(0.5, 5.0)) for visitor in visitors for _ in range(8)]
    rng.shuffle(tickets)
    had, left = Counter[str](), list(tickets)
    while {ticket.visitor for ticket in left} == set(visitors):
        assert max(had.values(), default=0) - min(had[visitor] for visitor in visitors) <= 5.0
        ticket = active(line, left)
        had[ticket.visitor] += ticket.seconds
        clock.now += ticket.seconds
        line.leave(ticket)
        left.remove(ticket)


def took(line: Line, clock: SetClock, ticket: Ticket, seconds: float) -> None:
    clock.now += seconds
    line.leave(ticket)


def test_who_was_away_overtakes_nobody_who_waits_for_as_much(clock: SetClock) -> None:
    """Visitors who come again and again are served as they come, whoever had more runs before."""
    line = line_of(clock)
    for _ in range(5):  # the others look at what they got
        took(line, clock, line.join("often", 1.0), 1.0)
        took(line, clock, line.join("other", 1.0), 1.0)
    going = line.join("other", 1.0)
    first, second = line.join("often", 1.0), line.join("seldom", 1.0)
    took(line, clock, going, 1.0)
    assert active(line, [first, second]) is first
    took(line, clock, first, 1.0)
    assert active(line, [second]) is second


def test_who_had_a_long_run_waits_until_the_others_had_as_much(clock: SetClock) -> None:
    line = line_of(clock)
    long, going = line.join("long", 1.0), line.join("short", 1.0)
    took(line, clock, long, 10.0)  # planned as short as the others'
    again = line.join("long", 1.0)
    turns = 0
    while active(line, [going, again]) is going:
        following = line.join("short", 1.0)
        took(line, clock, going, 1.0)
        going, turns = following, turns + 1
    assert 5 <= turns <= 10


def test_what_was_had_while_nobody_waited_costs_nothing(clock: SetClock) -> None:
    line = line_of(clock)
    took(line, clock, line.join("alone", 100.0), 100.0)
    going = line.join("other", 1.0)
    again, another = line.join("alone", 1.0), line.join("third", 1.0)
    took(line, clock, going, 1.0)
    assert active(line, [again, another]) is again


def test_equal_visitors_who_come_and_go_wait_about_as_long(clock: SetClock) -> None:
    """Nobody who looked long at their picture overtakes all those who came before them."""
    line, rng = line_of(clock), random.Random(3)
    back = {str(number): clock.now + rng.uniform(0, 2) for number in range(24)}
    waiting: list[Ticket] = []
    came: dict[Ticket, float] = {}
    waits: list[float] = []
    while len(waits) < 600:
        for visitor, moment in sorted(back.items(), key=lambda each: each[1]):
            if moment <= clock.now:
                waiting.append(line.join(visitor, 0.7))
                came[waiting[-1]] = back.pop(visitor)
        if not waiting:
            clock.now = min(back.values())
            continue
        ticket = active(line, waiting)
        clock.now += rng.uniform(0.4, 1.6)
        line.leave(ticket, finished=True)
        waiting.remove(ticket)
        waits.append(clock.now - came.pop(ticket))
        back[ticket.visitor] = clock.now + waits[-1] * rng.uniform(0.5, 1.5)
    middle, late = statistics.quantiles(waits[100:], n=20)[9::9]
    assert late <= 2 * middle


def test_a_long_run_is_forgotten_after_ten_minutes(clock: SetClock) -> None:
    line = line_of(clock)
    took(line, clock, line.join("long", 1.0), 100.0)
    clock.now += WINDOW + 1
    line.join("other", 1.0)
    again, new = line.join("long", 1.0), line.join("new", 1.0)
    with line.changed:
        assert line.order() == [again, new]


def test_runs_of_one_visitor_come_in_turn(clock: SetClock) -> None:
    line = line_of(clock)
    tickets = [line.join("me", seconds) for seconds in (3.0, 1.0, 2.0)]
    order = []
    while tickets:
        order.append(active(line, tickets).seconds)
        tickets.remove(ticket := active(line, tickets))
        line.leave(ticket)
    assert order == [3.0, 1.0, 2.0]


def test_everybody_is_told_their_place_and_the_seconds_until_their_turn(clock: SetClock) -> None:
    line = line_of(clock)
    line.join("a", 10.0)
    second, third = line.join("a", 5.0), line.join("b", 2.0)
    clock.now += 4.0
    with line.changed:
        assert line.place(third) == Waiting(1, 2, 6.0)  # b has had nothing
        assert line.place(second) == Waiting(2, 2, 8.0)


def test_a_turn_is_charged_with_what_it_took_and_forgotten_after_ten_minutes(clock: SetClock) -> None:
    line = line_of(clock)
    with line.join("a", 1.0):
        clock.now += 7.0
    assert line.had("a") == 7.0
    clock.now += WINDOW + 1
    assert line.had("a") == 0.0


def refusal(line: Line, visitor: str, seconds: float) -> LineRefusal:
    with pytest.raises(LineRefusal) as error:
        line.join(visitor, seconds, lighter=lambda most: f"5 steps, planned to take {most - 1:g} s")
    return error.value


@pytest.mark.parametrize(
    ("limits", "status", "words"),
    [
        ({"run_seconds": 60}, TOO_MANY, "planned to take 100 s and a run has 60 s here: try 5 steps"),
        ({"visitor_places": 2}, TOO_MANY, "you have 2 runs in the queue and a visitor has 2 places here"),
        ({"places": 3}, FULL, "all 3 places of the queue are taken: try again in 30 s"),
        ({"line_seconds": 90}, FULL, "planned to take 100 s and the queue may have 90 s: try 5 steps"),
        (
            {"visitor_seconds": 50},
            TOO_MANY,
            "you have had 0 s, 120 s more are planned, and a visitor has 50 s",
        ),
    ],
)
def test_a_limit_is_named_with_what_was_asked_what_would_pass_and_the_queue(
    limits: dict[str, object], status: int, words: str, clock: SetClock
) -> None:
    line = line_of(clock, **limits)
    for visitor in ("me", "you", "me"):
        line.join(visitor, 10.0)
    found = refusal(line, "me", 100.0)
    assert words in str(found)
    assert found.status == status
    if "visitor_seconds" not in limits:
        assert "3 runs are in the queue, 30 s" in str(found)
    assert "\n" not in str(found)


def test_seconds_that_were_had_come_back_and_the_refusal_says_when(clock: SetClock) -> None:
    line = line_of(clock, visitor_seconds=100)
    with line.join("me", 90.0):
        clock.now += 90.0
    clock.now += 200
    found = refusal(line, "me", 20.0)
    assert "you have had 90 s, 20 s more are planned" in str(found)
    assert f"try again in {WINDOW - 200:.0f} s, or 5 steps, planned to take 9 s" in str(found)
    assert found.retry_after == WINDOW - 200
    clock.now += found.retry_after + 1
    line.join("me", 20.0)


def test_another_visitor_is_not_refused_for_it(clock: SetClock) -> None:
    line = line_of(clock, visitor_seconds=100, visitor_places=1)
    line.join("me", 90.0)
    assert line.refusal("me") is not None
    assert line.refusal("you") is None
    line.join("you", 90.0)


def test_a_long_run_gives_way_between_its_parts_and_keeps_its_place(clock: SetClock) -> None:
    line = line_of(clock, places=2)
    study = line.join("study", 0.0)
    picture = line.join("me", 1.0)
    clock.now += 3.0
    line.give_way(study, 3.0)
    assert active(line, [study, picture]) is picture
    assert line.refusal("another") is not None  # both places are still taken
    line.leave(picture)
    assert active(line, [study]) is study
    assert study.used == 3.0


def test_a_long_run_ends_where_its_visitor_has_had_all(clock: SetClock) -> None:
    line = line_of(clock, visitor_seconds=10)
    study = line.join("study", 0.0)
    clock.now += 8.0
    with pytest.raises(LineRefusal, match="a visitor has 10 s within ten minutes"):
        line.give_way(study, 8.0)


def test_one_computes_at_a_time_and_all_come_to_their_turn() -> None:
    line, running, most = Line(parse(Limits, {})), [], []

    def run(visitor: str) -> None:
        with line.join(visitor, 0.01) as ticket:
            for _ in ticket.waiting():
                pass
            running.append(visitor)
            most.append(len(running))
            time.sleep(0.002)
            running.remove(visitor)

    threads = [threading.Thread(target=run, args=(f"{number % 5}",)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 30
    assert line.count == 0


def test_who_is_not_waited_for_any_more_leaves_the_queue_and_takes_no_turn(clock: SetClock) -> None:
    line, wanted = line_of(clock), [True]
    first = line.join("a", 1.0)
    with line.join("b", 1.0, wanted=lambda: wanted[0]) as ticket:
        news: Iterator[Waiting] = ticket.waiting()
        next(news)
        wanted[0] = False
        with pytest.raises(RunStopped):
            next(news)
    assert line.count == 1
    line.leave(first)
    assert line.count == 0


def test_a_page_that_shuts_down_takes_nobody_and_lets_everybody_go(clock: SetClock) -> None:
    line = line_of(clock)
    ticket = line.join("a", 1.0)
    line.close()
    with pytest.raises(RunStopped):
        ticket.check()
    found = refusal(line, "b", 1.0)
    assert (found.status, str(found)) == (FULL, lines.CLOSING)


def test_what_is_remembered_of_visitors_is_bounded(clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_VISITORS", 50)
    line = line_of(clock)
    for number in range(200):
        with line.join(f"{number}", 1.0):
            clock.now += WINDOW / 20
    assert len(line._had) <= 51
    for _ in range(100):  # parts of a study, a hundredth of a second each
        with line.join("study", 0.01):
            clock.now += 0.01
    assert len(line._had["study"]) <= 3


def planned(steps: int = 4) -> Plan:
    return plan(Request(prompt="a", steps=steps), find("tiny"), Budget())


def turn(line: Line, tickets: list[Ticket]) -> list[Ticket]:
    """Those whose turn it is."""
    with line.changed:
        return [ticket for ticket in tickets if line.place(ticket) is None]


def test_equal_runs_that_wait_have_one_turn_and_share_what_it_takes(clock: SetClock) -> None:
    line, made = line_of(clock, batch=3), planned()
    first = line.join("first", 1.0)
    rest = [line.join(visitor, 2.0, plan=made) for visitor in "abcd"]
    assert turn(line, rest) == []
    clock.now += 1.0
    line.leave(first)
    together = turn(line, rest)
    assert [ticket.visitor for ticket in together] == ["a", "b", "c"]
    assert [ticket.place for ticket in together] == [0, 1, 2]
    assert len({id(ticket.shared) for ticket in together}) == 1
    assert together[0].shared is not None
    with line.changed:
        assert line.place(rest[3]) == Waiting(1, 1, 6.0)
    clock.now += 3.0
    line.leave(together[1])  # cancelled halfway
    clock.now += 2.0
    line.leave(together[0])
    line.leave(together[2])
    assert [line.had(visitor) for visitor in "abc"] == [2.0, 1.0, 2.0]
    assert turn(line, rest[3:]) == rest[3:]
    assert rest[3].shared is None


def test_a_batch_overtakes_nobody(clock: SetClock) -> None:
    line, equal, other = line_of(clock, batch=8), planned(), planned(steps=9)
    first = line.join("first", 1.0)
    plans = {"a": equal, "b": other, "c": equal, "d": equal, "e": None, "f": equal}
    tickets = [line.join(visitor, 1.0, plan=made) for visitor, made in plans.items()]
    line.leave(first)
    order = []
    while tickets:
        together = turn(line, tickets)
        order.append("".join(ticket.visitor for ticket in together))
        for ticket in together:
            clock.now += 1.0
            line.leave(ticket)
            tickets.remove(ticket)
    assert order == ["a", "b", "cd", "e", "f"]


def test_a_visitor_with_many_equal_runs_has_one_in_a_batch_with_others(clock: SetClock) -> None:
    line, made = line_of(clock, batch=3), planned()
    first = line.join("first", 1.0)
    greedy = [line.join("greedy", 4.0, plan=made) for _ in range(6)]
    others = [line.join(visitor, 4.0, plan=made) for visitor in ("late", "later")]
    line.leave(first)
    assert [ticket.visitor for ticket in turn(line, greedy + others)] == ["greedy", "late", "later"]


def test_without_batches_every_run_has_its_own_turn(clock: SetClock) -> None:
    line, made = line_of(clock, batch=1), planned()
    tickets = [line.join(visitor, 1.0, plan=made) for visitor in "abc"]
    assert served(line, clock, tickets) == ["a", "b", "c"]


def test_what_was_not_measured_goes_alone(clock: SetClock) -> None:
    line = line_of(clock)
    made = plan(Request(prompt="a", steps=4), find("tiny"), Budget("cuda"))
    first = line.join("first", 1.0)
    tickets = [line.join(visitor, 1.0, plan=made) for visitor in "ab"]
    line.leave(first)
    assert len(turn(line, tickets)) == 1
