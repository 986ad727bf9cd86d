"""Whose turn is next: a clock for each visitor, moved on by their turns (Zhang, VirtualClock, SIGCOMM 1990).

Of N visitors at a time each has a claim to every Nth second. A turn of so many seconds moves its visitor's
clock on by N times as many, and a run stands in the queue where it came or where its visitor's clock stands,
whichever is later. So visitors who wait all the time get equal seconds, whoever had much waits for others,
and whoever had no more than their share stands where they came: among those who ask for the same the order is
that of their coming.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class FairTurns:
    """Where each visitor's clock stands, in seconds of the queue's clock."""

    ends: dict[str, float] = field(default_factory=dict)

    def end_of(self, visitor: str, now: float, most: float) -> float:
        """Where a visitor's clock stands: no further ahead of `now` than so many seconds."""
        return min(self.ends.get(visitor, -math.inf), now + most)

    def charge(self, visitor: str, start: float, seconds: float) -> None:
        """Move a visitor's clock on, from where a run stood in the queue."""
        self.ends[visitor] = max(self.ends.get(visitor, start), start) + seconds

    def keep(self, visitors: Iterable[str]) -> None:
        """Forget all but these visitors."""
        self.ends = {visitor: self.ends[visitor] for visitor in visitors if visitor in self.ends}
