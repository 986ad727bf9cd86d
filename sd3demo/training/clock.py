"""A stage's time: training stops on the clock, not on a step count, whatever the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Clock:
    """A span of `minutes` that starts when it is made."""

    minutes: float
    started: float = field(default_factory=time.monotonic)

    def share(self) -> float:
        """The share of the span that has passed; 1 or more when it is over."""
        return (time.monotonic() - self.started) / (60 * self.minutes)
