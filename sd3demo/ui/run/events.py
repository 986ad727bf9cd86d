"""The one loop over a run's events."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from sd3demo.engine.events import Event, Finished, Stopped
from sd3demo.errors import Failure

if TYPE_CHECKING:
    from sd3demo.ui.run.turns import RunNews
    from sd3demo.ui.server.ticket import Waiting

UNFINISHED = "the run stopped before it was finished"


class RunStopped(Exception):  # noqa: N818
    """A run was asked to stop and did, after `steps` steps of its stage."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"stopped after {steps} steps")
        self.steps = steps


def run_events(events: "RunNews") -> "Iterator[Event | Waiting]":
    """Yield a run's events, its result the last of them; closing this closes the run.

    Raises RunStopped when the run was stopped, and Failure when it ends without a result.
    """
    finished = False
    with closing(events):
        for event in events:
            if isinstance(event, Stopped):
                raise RunStopped(event.steps)
            finished = finished or isinstance(event, Finished)
            yield event
    if not finished:
        raise Failure(UNFINISHED)


def result_of(events: "RunNews") -> Finished:
    """Return a run's result, for those who show no news. Raises as `run_events` does."""
    results = [event for event in run_events(events) if isinstance(event, Finished)]
    return results[-1]
