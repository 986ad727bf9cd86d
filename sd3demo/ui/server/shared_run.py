"""Runs that waited together and have one turn: they are computed as one batch, in a thread of its own.

Each of them is read by its own call, stopped by its own call, and ends in its own way, as if it were alone:
so a slow reader or a cancelled call holds up nobody. What goes wrong with the batch is said in the log, and
the runs that are left are made one after another.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import TypeAlias

from sd3demo.engine import Plan
from sd3demo.engine.events import BatchEvent, Event, Finished, Loading, Stopped
from sd3demo.ui.server.run_log import write_line

LOOK = 0.5  # seconds between two looks at whether anybody still waits for a run

RunAlone: TypeAlias = Callable[[Plan], Generator[Event, None, None]]
RunTogether: TypeAlias = Callable[[Sequence[Plan], Callable[[int], bool]], Generator[BatchEvent, None, None]]
"""The events of all runs; the function says whether the run of a place is cancelled."""


class SharedRun:
    """The runs of a batch, by their places in it."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = plans
        self._news: list[SimpleQueue[Event | Exception]] = [SimpleQueue() for _ in plans]
        self._gone = [False] * len(plans)
        self._ended = [False] * len(plans)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def events(
        self, place: int, together: RunTogether, alone: RunAlone, check: Callable[[], None]
    ) -> Generator[Event, None, None]:
        """The events of one run, the last of them Finished or Stopped; the first call starts all runs.

        `check` is asked while nothing comes, and raises where nobody waits for the run any more. Raises what
        the run ended in.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, args=(together, alone), daemon=True)
                self._thread.start()
        while True:
            try:
                event = self._news[place].get(timeout=LOOK)
            except Empty:
                check()
                continue
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, Finished | Stopped):
                return

    def leave(self, place: int) -> None:
        """Nobody reads this run any more. Whoever leaves last waits for the step that still goes on."""
        with self._lock:
            self._gone[place] = True
            thread = self._thread if all(self._gone) else None
        if thread is not None:
            thread.join()

    def _cancelled(self, place: int) -> bool:
        return self._gone[place]

    def _tell(self, place: int, event: Event | Exception) -> None:
        if not self._ended[place]:
            self._ended[place] = isinstance(event, Finished | Stopped | Exception)
            self._news[place].put(event)

    def _work(self, together: RunTogether, alone: RunAlone) -> None:
        try:
            with closing(together(self.plans, self._cancelled)) as news:
                for each in news:
                    concerned = range(len(self.plans)) if isinstance(each.event, Loading) else [each.run]
                    for place in concerned:
                        self._tell(place, each.event)
        except Exception as error:
            left = self._ended.count(False)
            kind = type(error).__name__
            write_line("batch", runs=len(self.plans), left=left, outcome="one after another", error=kind)
        for place, plan in enumerate(self.plans):
            if not self._ended[place]:
                self._run_alone(place, plan, alone)

    def _run_alone(self, place: int, plan: Plan, alone: RunAlone) -> None:
        try:
            with closing(alone(plan)) as events:
                for event in events:
                    if self._cancelled(place):
                        return
                    self._tell(place, event)
        except Exception as error:  # raised where the run is read
            self._tell(place, error)
