"""Whose turn is next: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), in seconds.

A run starts, in virtual time, at its arrival or where its visitor's last one ended, whichever is later, and
the one that starts first has the next turn. So visitors who wait all the time get equal seconds, whoever had
much waits for the others, and whoever had nothing for a while overtakes nobody for it: among visitors who ask
for the same the order is that of their coming.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class FairTurns:
    """Virtual time, and where in it each visitor's last run ended."""

    now: float = 0.0
    """The start of the run that had the last turn."""
    ends: dict[str, float] = field(default_factory=dict)

    def end_of(self, visitor: str, had: float) -> float:
        """Where a visitor's last run ended: no further ahead than the `had` seconds that still count."""
        return min(self.ends.get(visitor, self.now), self.now + had)

    def begin(self, start: float) -> None:
        """A run that starts there has its turn."""
        self.now = max(self.now, start)

    def charge(self, visitor: str, start: float, seconds: float) -> None:
        """A run that started there took so long."""
        self.ends[visitor] = max(self.ends.get(visitor, start), start + seconds)

    def keep(self, visitors: Iterable[str]) -> None:
        """Forget all but these visitors."""
        self.ends = {visitor: self.ends[visitor] for visitor in visitors if visitor in self.ends}
