"""A stage's time: training stops on the clock, not on a step count, whatever the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event


@dataclass(frozen=True)
class TimeLimit:
    """A span of `minutes` that starts when it is made."""

    minutes: float
    stop: Event = field(default_factory=Event)
    """Set when somebody wants it over now."""
    started: float = field(default_factory=time.monotonic)

    def share(self) -> float:
        """The share of the span that has passed; 1 or more when it is over."""
        if self.stop.is_set():
            return 1.0
        return (time.monotonic() - self.started) / (60 * self.minutes)


def learning_rate_factor(done: float, step: int) -> float:
    """The learning rate's factor at `step` when this share of the span has passed: up over a hundred steps,
    then down as the root of what is left."""
    return min(1.0, (step + 1) / 100) * max(0.0, 1 - done) ** 0.5
