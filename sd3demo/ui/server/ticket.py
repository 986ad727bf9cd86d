"""A place in the page's queue, then a turn, which a long run breaks off between two steps for others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from sd3demo.engine import Plan
from sd3demo.engine.plan.memory import HeldModel
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.server.shared_run import SharedRun

if TYPE_CHECKING:
    from sd3demo.ui.server.line import Line

NEWS = 0.5  # seconds between two looks at a place, and at whether anybody still waits for it


@dataclass(frozen=True)
class Waiting:
    """News of a run in the queue: its place among `count`, and the seconds until its turn, as planned."""

    place: int
    count: int
    seconds: float
    begun: bool = False
    """Whether it waits between two of its steps."""


class Ticket:
    """A place in the line, then a turn; leaving the block gives both back."""

    def __init__(
        self,
        line: "Line",
        visitor: str,
        seconds: float,
        wanted: Callable[[], bool],
        number: int,
        plan: Plan | None = None,
        keeps: frozenset[HeldModel] | None = None,
    ) -> None:
        self.line = line
        self.visitor = visitor
        self.seconds = seconds
        self.number = number
        self.started = 0.0
        self.arrived = self.start = 0.0
        """When it came, and where it stands in the queue: no earlier than its visitor's clock."""
        self.used = 0.0
        """Seconds of all turns so far."""
        self.owed = 0.0
        """Its share of this turn's seconds, not charged yet."""
        self.plan = plan
        self.keeps = keeps
        """The models that it holds while it waits between two steps; None where it cannot wait there."""
        self.begun = False
        """Whether it has had a part of its turn."""
        self.shared: SharedRun | None = None
        """The runs that it has its turn with, as soon as it has it; None where it goes alone."""
        self.place = 0
        """Its place among them."""
        self._wanted = wanted

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shared is not None:
            self.shared.leave(self.place)
        self.line.leave(self, finished=kind is None)

    def waiting(self) -> Iterator[Waiting]:
        """Yield the place until the turn has come. Raises as `check` does."""
        pause = 0.0
        while True:
            self.check()
            with self.line.changed:
                if pause and self.line.place(self) is not None:
                    self.line.changed.wait(pause)
                place = self.line.place(self)
            if place is None:
                return
            pause = NEWS
            yield place

    def give_way(self, seconds: float) -> Iterator[Waiting]:
        """Let others go first who have had less, and yield the place until the turn has come again.

        `seconds` is what the next part should take. Raises LineRefusal where the visitor has had all of
        their seconds.
        """
        self.line.give_way(self, seconds)
        yield from self.waiting()

    def between_steps(self) -> Iterator[Waiting]:
        """Where another run's turn is due, yield the place until this one goes on. Raises as `check` does."""
        self.check()
        if self.line.break_off(self):
            yield from self.waiting()

    @property
    def elapsed(self) -> float:
        """Seconds of this turn so far."""
        return self.line.clock() - self.started

    @property
    def spent(self) -> float:
        """Seconds of all turns so far, this one among them."""
        return self.used + self.elapsed

    def can_wait_beside(self, other: "Ticket") -> bool:
        """Whether one of the two can wait between its steps while the other computes."""
        if self.keeps is None or other.keeps is None:
            return False
        return len(self.keeps | other.keeps) <= 1

    def check(self) -> None:
        """Raise RunStopped where nobody waits for the result any more, or the page shuts down."""
        if self.line.closed or not self._wanted():
            raise RunStopped(0)
