"""What goes on in a page: its runs, each with an id and a line in the log, and whether it takes more.

`watched` puts this round a core's runs; the page's health, metrics and shutdown read it.
"""

import math
import secrets
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

from sd3demo.engine import Plan
from sd3demo.engine.events import ArmFinished, BatchEvent, Event, Finished, Pixels, Stopped
from sd3demo.errors import Failure, Refusal
from sd3demo.ui.context import Core, Events
from sd3demo.ui.server import metrics
from sd3demo.ui.server.run_log import about_plan, write_line
from sd3demo.ui.server.ticket import Ticket
from sd3demo.ui.server.visitor_hash import visitor_hash

News = TypeVar("News", Event, BatchEvent)


class Closing(Refusal):
    """The page takes nothing more."""

    reason: ClassVar[str] = "closing"

    def __init__(self) -> None:
        super().__init__("the page is closing and starts nothing more; try again in a minute")


class CutOff(Failure):
    """The page closed before a run was finished."""

    reason: ClassVar[str] = "closing"

    def __init__(self) -> None:
        super().__init__("the page closed before the run was finished; run it again in a minute")


@dataclass(eq=False)
class Operations:
    """The runs that go on, and whether more are taken. For many threads at once."""

    model: str = "is not loaded yet"
    """What is wrong with the model, after "the model"; empty where it is loaded."""
    weights: str = "not checked"
    """What the check of the weights' hashes found, in a few words."""
    damage: str = ""
    """The sentence on weights that are not what they were; empty where none are known to be."""
    closing: bool = False
    requests: int = 0
    _active: int = 0
    _cut: bool = False
    _last_request: float = -math.inf
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def close(self) -> None:
        """Take nothing more; what goes on may finish."""
        with self._changed:
            self.closing = True

    def cut_off(self) -> None:
        """End the runs that go on, each before its next event."""
        self._cut = True

    def wait_until_idle(self, seconds: float, pending: Callable[[], bool], quiet: float = 0) -> bool:
        """Wait until no run and no request goes on and nothing is `pending`; False where time runs out.

        With `quiet` no request may have come for so many seconds: who was told of a picture fetches its file.
        """
        end = time.monotonic() + seconds
        while True:
            with self._changed:
                calm = time.monotonic() - self._last_request >= quiet
                if not self._active and not self.requests and calm and not pending():
                    return True
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.05))

    def open_requests(self, more: int) -> None:
        """Count the requests that are being answered."""
        with self._changed:
            self.requests += more
            self._last_request = time.monotonic()
            self._changed.notify_all()

    def watch(
        self,
        plan: Plan,
        start: Callable[[], Generator[News, None, None]],
        with_id: Callable[[News, str], News],
        **known: int,
    ) -> Generator[News, None, None]:
        """The events of a run, or of several that go together: counted, logged, and given an id.

        What is `known` of the run beside its plan is in its line.
        """
        if self.closing:
            raise Closing()
        id, begun, outcome = secrets.token_hex(8), time.monotonic(), "stopped"
        self._begin(1)
        try:
            with closing(start()) as events:
                for event in events:
                    if self._cut:
                        raise CutOff()
                    one: Event = event.event if isinstance(event, BatchEvent) else event
                    if isinstance(one, Finished):
                        outcome = "finished"
                        _observe(one)
                        self.model = ""
                    elif isinstance(one, Stopped):
                        outcome = "stopped"
                    yield with_id(event, id)
        except GeneratorExit:
            raise
        except Refusal:
            outcome = "refused"
            raise
        except Failure as error:
            outcome = "cut off" if isinstance(error, CutOff) else "failed"
            raise
        except BaseException as error:  # gradio's, of ZeroGPU's quota, or one that should not be
            outcome = "quota" if hasattr(error, "print_exception") else "error"
            raise
        finally:
            self._begin(-1)
            metrics.RUNS.labels(outcome).inc()
            values = {**about_plan(plan), **known}
            seconds = round(time.monotonic() - begun, 3)
            write_line("run", id=id, visitor=visitor_hash(), **values, seconds=seconds, outcome=outcome)

    def _begin(self, more: int) -> None:
        with self._changed:
            self._active += more
            metrics.ACTIVE_RUNS.inc(more)
            self._changed.notify_all()


def watched(core: Core, operations: Operations) -> Core:
    """The same core, whose runs are seen by the operator."""

    def run(plan: Plan, own: Pixels | None = None) -> Events:
        yield from operations.watch(
            plan, lambda: core.run(plan) if own is None else core.run(plan, own), _with_id
        )

    def together(plans: Sequence[Plan]) -> Generator[BatchEvent, None, None]:
        if plans and core.together is not None:
            runs = core.together
            yield from operations.watch(plans[0], lambda: runs(plans), _batch_with_id, runs=len(plans))

    def member(plan: Plan, ticket: Ticket) -> Events:
        if core.member is not None:
            of_batch, batch = core.member, len(ticket.shared.plans) if ticket.shared else 1
            yield from operations.watch(plan, lambda: of_batch(plan, ticket), _with_id, batch=batch)

    return replace(
        core,
        run=run,
        together=together if core.together else None,
        member=member if core.member else None,
    )


def _observe(finished: Finished) -> None:
    for phase, seconds in finished.seconds.items():
        metrics.PHASE_SECONDS.labels(phase).observe(seconds)


def _batch_with_id(news: BatchEvent, id: str) -> BatchEvent:
    return BatchEvent(news.run, _with_id(news.event, id))


def _with_id(event: Event, id: str) -> Event:
    """The event, with the id where its receipts will have it."""
    if isinstance(event, Finished):
        arms = {name: replace(arm, request_id=id) for name, arm in event.arms.items()}
        return replace(event, request_id=id, arms=arms)
    return replace(event, request_id=id) if isinstance(event, ArmFinished) else event
