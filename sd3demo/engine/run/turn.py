"""Who computes: one run at a time, which may lend the engine to others while it stands between two steps."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")

LOOK = 0.05  # seconds between two looks at whether a run that waits for the engine was stopped


class EngineLock:
    """A lock that counts how often it was taken, with the runs that lend it at the moment."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = 0
        self.lenders: set[Turn] = set()

    def __enter__(self) -> None:
        self.lock.acquire()
        self.taken += 1

    def __exit__(self, *error: object) -> None:
        self.lock.release()


class Turn:
    """A run's hold of an engine. Its `clock` stands still while another run computes."""

    def __init__(self, engine: EngineLock, stop: Callable[[], bool]) -> None:
        self._engine = engine
        self._stop = stop
        self._holds = False
        self._left_out = 0.0

    def clock(self) -> float:
        """Seconds, as of `time.perf_counter`, without those of others."""
        return time.perf_counter() - self._left_out

    def take(self) -> bool:
        """Wait for the engine; False where the run was stopped meanwhile."""
        while not self._engine.lock.acquire(timeout=LOOK):
            if self._stop():
                return False
        self._engine.taken += 1
        self._holds = True
        return True

    def give_back(self) -> None:
        """Let the next run compute, where this one holds the engine."""
        if self._holds:
            self._holds = False
            self._engine.lock.release()

    def events_of(self, source: Generator[T, None, object], *, lends: bool) -> Generator[T, None, T | None]:
        """Yield a run's events and give the engine back at its end, or at each event where it `lends`.

        Returns the event at which the run was stopped while others computed.
        """
        try:
            with closing(source):
                for event in source:
                    if not lends:
                        yield event
                    elif not (yield from self.lend(event)):
                        return event
        finally:
            self.give_back()
        return None

    def lend(self, event: T) -> Generator[T, None, bool]:
        """Yield an event while others may compute; returns False where the run was stopped meanwhile."""
        since, taken = time.perf_counter(), self._engine.taken
        self._engine.lenders.add(self)
        self.give_back()
        try:
            yield event
            goes_on = self.take()
        finally:  # a run that is closed here does not wait for the others
            self._engine.lenders.discard(self)
        if self._engine.taken > taken + 1:
            self._left_out += time.perf_counter() - since
        return goes_on
