"""A run from its place in the page's queue to its end: the one way in which the page computes."""

from collections.abc import Generator
from contextlib import closing
from typing import TypeAlias, TypeVar

from sd3demo.engine import Plan
from sd3demo.engine.events import Event
from sd3demo.ui.context import Core
from sd3demo.ui.server.gradio_internals import current_call
from sd3demo.ui.server.lighter import lighter
from sd3demo.ui.server.line import Lighter, Ticket, Waiting, always, nothing

T = TypeVar("T")
RunNews: TypeAlias = Generator[Event, None, None] | Generator[Event | Waiting, None, None]


def join(
    core: Core,
    seconds: float,
    lighter: Lighter = nothing,
    plan: Plan | None = None,
    *,
    saved: bool = False,
) -> Ticket:
    """Take a place in the queue for the call that is being answered. Raises LineRefusal.

    With a `plan` the turn may be shared with others. The run stops when its call is cancelled, its client
    has gone, or the page shuts down; a run that is `saved` goes on without its client where the page lets it.
    """
    call = current_call(behind_proxy=core.limits.behind_proxy)
    wanted = always if saved and core.keeps_running else call.wanted
    return core.line.join(call.visitor, seconds, wanted=wanted, lighter=lighter, plan=plan)


def in_turn(
    core: Core, plan: Plan, *, alone: bool = False, saved: bool = False
) -> Generator[Event | Waiting, None, None]:
    """The events of a run, after news of its place in the queue. Closing this closes the run.

    Unless it is to go `alone` it may be one of a batch, which changes at most the last bit of its picture.
    Raises LineRefusal for what the queue does not take, and RunStopped where nobody waits for it any more.
    """
    shareable = None if alone or core.member is None else plan
    with join(core, plan.seconds, lambda most: lighter(plan, most), shareable, saved=saved) as ticket:
        yield from ticket.waiting()
        if ticket.shared is None or core.member is None:
            yield from checked(ticket, core.run(plan))
        else:
            yield from checked(ticket, core.member(plan, ticket))


def checked(ticket: Ticket, events: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same events, as long as somebody waits for them. Closing this closes their source."""
    with closing(events):
        for event in events:
            yield event
            ticket.check()
