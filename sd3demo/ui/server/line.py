"""The one queue of a page: everything that computes waits in it, and one thing at a time computes.

Visitors who wait get equal seconds, see `fair_turns`; what was had more than ten minutes ago is forgotten.
gradio's own queue takes whoever came first, and gives a place away while a cancelled step still runs. Runs
that would have had the next turns and can share network calls have one turn together, of which each is
charged its share. A run that takes long gives way after a slice of it, where it can wait between two steps.
"""

import itertools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from sd3demo.engine import Plan
from sd3demo.engine.plan.batch_size import first_batch
from sd3demo.engine.plan.memory import HeldModel
from sd3demo.errors import Refusal
from sd3demo.settings import counted
from sd3demo.ui.server.fair_turns import FairTurns
from sd3demo.ui.server.limits import WINDOW, Limits, batch_limit
from sd3demo.ui.server.shared_run import SharedRun
from sd3demo.ui.server.ticket import Ticket, Waiting

SLICE = 2.0  # seconds that a run has before it gives way to those who come before the rest of it
REST = 0.5  # planned seconds that are left of a run which gives way: what is nearly done goes on
ACCIDENT = 3.0  # seconds that a finished turn may have taken beyond what was expected, at no cost
LATELY = 0.05  # the weight of the last run in how much longer than planned runs take
LEAST = 0.05  # seconds that a run counts at least: one that nobody can plan is not free
MOST_VISITORS = 1000  # that are remembered before those are forgotten who had nothing within ten minutes
TOO_MANY, FULL = 429, 503
CLOSING = "this page is shutting down; try again in a moment"

Lighter = Callable[[float], str]
"""What would pass in so many seconds, as words after "try"; empty where nothing is known to."""


def nothing(most: float) -> str:
    """For `Line.join`: nothing is known that would pass."""
    return ""


def always() -> bool:
    """For `Line.join`: somebody always waits for the result."""
    return True


class LineRefusal(Refusal):
    """A run that the line does not take: the HTTP status that says so, and when to come again."""

    def __init__(self, text: str, status: int = TOO_MANY, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class Line:
    """Who computes, who waits, and what each visitor has had."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        self.changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._active: list[Ticket] = []  # one, or those of a batch
        self._settled = clock()
        self._turns = FairTurns()
        self._longer = 0.0  # seconds that a run takes beyond its plan, lately: to answer it, and others
        self._had: defaultdict[str, deque[tuple[float, float]]] = defaultdict(deque)
        self._numbers = itertools.count()
        self._closed = False

    def join(
        self,
        visitor: str,
        seconds: float,
        *,
        wanted: Callable[[], bool] = always,
        lighter: Lighter = nothing,
        plan: Plan | None = None,
        keeps: frozenset[HeldModel] | None = None,
    ) -> Ticket:
        """Take a place for a run that is planned to take `seconds`. Raises LineRefusal at a limit.

        With a `plan` it may have its turn together with others, see `Ticket.shared`; with what it `keeps` it
        may wait between two of its steps.
        """
        with self.changed:
            refusal = self._refusal(visitor, seconds, lighter)
            if refusal is not None:
                raise refusal
            ticket = Ticket(self, visitor, seconds, wanted, next(self._numbers), plan, keeps)
            ticket.arrived = self.clock()
            self._waiting.append(ticket)
            self._grant()
            return ticket

    def refusal(self, visitor: str) -> LineRefusal | None:
        """Why this visitor can have no run now, whatever it takes; None where it depends on the run."""
        with self.changed:
            return self._refusal(visitor, 0.0, nothing)

    def had(self, visitor: str) -> float:
        """The seconds that a visitor has had within ten minutes."""
        with self.changed:
            return self._seconds_had(visitor)

    @property
    def count(self) -> int:
        """The runs that wait or go on."""
        with self.changed:
            return len(self._everybody())

    @property
    def waiting(self) -> int:
        """The runs that wait."""
        with self.changed:
            return len(self._waiting)

    @property
    def seconds(self) -> float:
        """The planned seconds until the queue is empty."""
        with self.changed:
            return self._left() + sum(map(self._expected, self._waiting))

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Take no more runs, let go those that wait, and ask the one that goes on to stop."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def order(self) -> list[Ticket]:
        """Those that wait, as they will have their turns. `changed` must be held."""
        visitors, now, claims = {ticket.visitor for ticket in self._waiting}, self.clock(), self._claims()
        had = {each: claims * (self._seconds_had(each) + ACCIDENT) for each in visitors}
        ends = {each: self._turns.end_of(each, now, had[each]) for each in visitors}
        for active in self._active:
            end = active.start + claims * self._expected(active)
            ends[active.visitor] = max(ends.get(active.visitor, end), end)
        for ticket in sorted(self._waiting, key=lambda ticket: ticket.number):
            ticket.start = max(ticket.arrived, ends[ticket.visitor])
            ends[ticket.visitor] = ticket.start + claims * max(self._expected(ticket), LEAST)
        order = sorted(self._waiting, key=lambda ticket: (ticket.start, ticket.number))
        if any(ticket.begun and not ticket.can_wait_beside(order[0]) for ticket in order):
            order.sort(key=lambda ticket: not ticket.begun)  # there is no room for both: what has begun ends
        return order

    def place(self, ticket: Ticket) -> Waiting | None:
        """Where a ticket stands; None where it has its turn. `changed` must be held."""
        if ticket in self._active:
            return None
        order = self.order()
        index = order.index(ticket)
        ahead = self._left() + sum(map(self._expected, order[:index]))
        return Waiting(index + 1, len(order), ahead, ticket.begun)

    def leave(self, ticket: Ticket, *, finished: bool = False) -> None:
        """Give a place back; a turn is charged with what it took, or as planned where it is `finished`."""
        with self.changed:
            if ticket in self._active:
                self._charge(ticket, as_planned=finished)
                self._active.remove(ticket)
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            self._grant()

    def give_way(self, ticket: Ticket, seconds: float, lighter: Lighter = nothing) -> None:
        """Between two parts of a long run: whoever has had less goes first. The place in the queue stays.

        Raises LineRefusal where the visitor has had all of their seconds.
        """
        with self.changed:
            self._charge(ticket)
            most = self.limits.visitor_seconds
            if self._seconds_had(ticket.visitor) + seconds > most:
                raise self._all_had(ticket.visitor, seconds, most, lighter)
            self._rejoin(ticket, seconds)

    def break_off(self, ticket: Ticket) -> bool:
        """Between two steps: end a turn that has had its slice, where another run's is due; whether it was.

        The place in the queue stays.
        """
        with self.changed:
            self._settle()
            left = ticket.seconds - ticket.owed
            is_short = ticket.seconds > 0 and left < REST and ticket.owed < 4 * SLICE
            if ticket.owed < SLICE or is_short or ticket.shared is not None or not self._waiting:
                return False
            first = self.order()[0]
            if first.start >= ticket.start + self._claims() * ticket.owed or not first.can_wait_beside(
                ticket
            ):
                return False
            self._charge(ticket)
            ticket.begun = True
            self._rejoin(ticket, max(left, LEAST))
            return True

    def _rejoin(self, ticket: Ticket, seconds: float) -> None:
        ticket.seconds, ticket.number = seconds, next(self._numbers)
        ticket.arrived = self.clock()
        self._active.remove(ticket)
        self._waiting.append(ticket)
        self._grant()

    def _grant(self) -> None:
        if not self._active and self._waiting:
            order = self.order()
            plans = [None if ticket.begun else ticket.plan for ticket in order]
            most = batch_limit(self.limits, plans[0].budget.device) if plans[0] else 1
            self._active = order[: first_batch(plans, most, self.limits.run_seconds)]
            self._settled = self.clock()
            for ticket in self._active:
                self._waiting.remove(ticket)
                ticket.started = self._settled
            _share_turn(self._active)
        self.changed.notify_all()

    def _settle(self) -> None:
        """Divide the time since the last look among those who computed."""
        now = self.clock()
        for ticket in self._active:
            ticket.owed += (now - self._settled) / len(self._active)
        self._settled = now

    def _claims(self) -> int:
        """How many visitors share the time."""
        return len({ticket.visitor for ticket in self._everybody()}) or 1

    def _expected(self, ticket: Ticket) -> float:
        """The seconds that a run takes as things go: its plan knows nothing of a busy page."""
        return ticket.seconds + self._longer

    def _cost(self, ticket: Ticket, took: float) -> float:
        """What a finished turn costs in the order of turns: equal runs the same, though the page is busy."""
        expected = self._expected(ticket)
        if not ticket.begun:
            self._longer += LATELY * (max(took - ticket.seconds, 0.0) - self._longer)
        return max(expected, took - ACCIDENT)

    def _charge(self, ticket: Ticket, *, as_planned: bool = False) -> None:
        self._settle()
        now, took = self._settled, ticket.owed
        cost = self._cost(ticket, took) if as_planned and ticket.seconds > 0 else took
        self._turns.charge(ticket.visitor, ticket.start, self._claims() * cost)
        ticket.used += took
        ticket.owed = 0.0
        ticket.started = now
        entries = self._had[ticket.visitor]
        if entries and now - entries[-1][0] < 1:  # parts of a study, which may be short
            took += entries.pop()[1]
        entries.append((now, took))
        if len(self._had) > MOST_VISITORS:
            for visitor in list(self._had):
                self._seconds_had(visitor)
            self._turns.keep(self._had)

    def _seconds_had(self, visitor: str) -> float:
        if visitor not in self._had:
            return 0.0
        entries, since = self._had[visitor], self.clock() - WINDOW
        while entries and entries[0][0] < since:
            entries.popleft()
        if not entries:
            del self._had[visitor]
            return 0.0
        return sum(seconds for _, seconds in entries)

    def _left(self) -> float:
        """The planned seconds that the runs which go on have left, those of a batch one after another."""
        self._settle()
        return sum(max(self._expected(ticket) - ticket.owed, 0.0) for ticket in self._active)

    def _everybody(self) -> list[Ticket]:
        return self._waiting + self._active

    def _refusal(self, visitor: str, seconds: float, lighter: Lighter) -> LineRefusal | None:
        limits, everybody = self.limits, self._everybody()
        line = self._left() + sum(map(self._expected, self._waiting))
        verb = "is" if len(everybody) == 1 else "are"
        is_long = f"{counted(len(everybody), 'run')} {verb} in the queue, {line:.0f} s"
        if self._closed:
            return LineRefusal(CLOSING, FULL, 30.0)
        if seconds > limits.run_seconds:
            return LineRefusal(
                f"this is planned to take {seconds:.0f} s and a run has {limits.run_seconds:g} s here"
                f"{_try(lighter(limits.run_seconds))}; {is_long}"
            )
        own = [ticket for ticket in everybody if ticket.visitor == visitor]
        if len(own) >= limits.visitor_places:
            return LineRefusal(
                f"you have {counted(len(own), 'run')} in the queue and a visitor has {limits.visitor_places} "
                f"places here: try again when one of them is done; {is_long}",
                retry_after=max(self._left(), 1.0),
            )
        if len(everybody) >= limits.places:
            return LineRefusal(
                f"all {limits.places} places of the queue are taken: try again in {max(line, 1):.0f} s or "
                f"before; {is_long}",
                FULL,
                max(self._left(), 1.0),
            )
        planned = sum(ticket.seconds for ticket in own)
        if self._seconds_had(visitor) + planned + seconds > limits.visitor_seconds:
            return self._all_had(visitor, planned + seconds, limits.visitor_seconds, lighter, planned)
        if line + seconds > limits.line_seconds:
            return LineRefusal(
                f"this is planned to take {seconds:.0f} s and the queue may have {limits.line_seconds:g} s"
                f"{_try(lighter(limits.line_seconds - line))}; {is_long}",
                FULL,
                line + seconds - limits.line_seconds,
            )
        return None

    def _all_had(
        self, visitor: str, seconds: float, most: float, lighter: Lighter, planned: float = 0.0
    ) -> LineRefusal:
        had = self._seconds_had(visitor)
        wait = self._until(visitor, had + seconds - most)
        later = f"try again in {wait:.0f} s" if wait else "nobody can have that"
        others = _try(lighter(most - had - planned)).removeprefix(": try ")
        return LineRefusal(
            f"you have had {had:.0f} s, {seconds:.0f} s more are planned, and a visitor has {most:g} s "
            f"within ten minutes here: {later}{f', or {others}' if others else ''}",
            retry_after=wait,
        )

    def _until(self, visitor: str, seconds: float) -> float:
        """How long until a visitor has had so many seconds fewer; 0 where that never comes."""
        for moment, took in self._had.get(visitor, ()):
            seconds -= took
            if seconds <= 1e-9:
                return max(moment + WINDOW - self.clock(), 1.0)
        return 0.0


def _share_turn(tickets: Sequence[Ticket]) -> None:
    """Give those of a batch the one run that they share."""
    plans = [ticket.plan for ticket in tickets if ticket.plan is not None]
    if len(plans) > 1:
        shared = SharedRun(plans)
        for place, ticket in enumerate(tickets):
            ticket.shared, ticket.place = shared, place


def _try(words: str) -> str:
    return f": try {words}" if words else ""
