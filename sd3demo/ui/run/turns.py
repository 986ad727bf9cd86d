"""A run from its place in the page's queue to its end: the one way in which the page computes."""

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from typing import TypeAlias, TypeVar

from sd3demo.engine import Plan
from sd3demo.engine.events import Event, Finished, Stopped
from sd3demo.engine.plan.interleaving import resting_model
from sd3demo.engine.plan.memory import HeldModel
from sd3demo.ui.context import Core
from sd3demo.ui.server.gradio_internals import current_call
from sd3demo.ui.server.lighter import lighter
from sd3demo.ui.server.line import Lighter, always, nothing
from sd3demo.ui.server.ticket import Ticket, Waiting

T = TypeVar("T")
RunNews: TypeAlias = Generator[Event, None, None] | Generator[Event | Waiting, None, None]


def join(
    core: Core,
    seconds: float,
    lighter: Lighter = nothing,
    plan: Plan | None = None,
    *,
    saved: bool = False,
    keeps: frozenset[HeldModel] | None = None,
) -> Ticket:
    """Take a place in the queue for the call that is being answered. Raises LineRefusal.

    With a `plan` the turn may be shared with others; with what it `keeps`, see `kept_by`, a long run gives
    way to others between two steps. The run stops when its call is cancelled, its client
    has gone, or the page shuts down; a run that is `saved` goes on without its client where the page lets it.
    """
    call = current_call(behind_proxy=core.limits.behind_proxy)
    wanted = always if saved and core.keeps_running else call.wanted
    return core.line.join(call.visitor, seconds, wanted=wanted, lighter=lighter, plan=plan, keeps=keeps)


def kept_by(plans: Sequence[Plan]) -> frozenset[HeldModel] | None:
    """Return the models that these plans hold while they wait between two steps; None where one cannot."""
    models = [resting_model(plan) for plan in plans]
    return None if None in models else frozenset(filter(None, models))


def in_turn(
    core: Core, plan: Plan, *, alone: bool = False, saved: bool = False
) -> Generator[Event | Waiting, None, None]:
    """The events of a run, after news of its place in the queue. Closing this closes the run.

    Unless it is to go `alone` it may be one of a batch, which changes at most the last bit of its picture.
    Raises LineRefusal for what the queue does not take, and RunStopped where nobody waits for it any more.
    """
    shareable = None if alone or core.member is None else plan
    words = partial(lighter, plan)
    with join(core, plan.seconds, words, shareable, saved=saved, keeps=kept_by([plan])) as ticket:
        yield from ticket.waiting()
        if ticket.shared is None or core.member is None:
            yield from checked(ticket, core.run(plan))
        else:
            yield from checked(ticket, core.member(plan, ticket))


def checked(ticket: Ticket, events: Generator[T, None, None]) -> Generator[T | Waiting, None, None]:
    """The same events, as long as somebody waits for them, and news of the place while others go first.

    Closing this closes their source.
    """
    with closing(events):
        for event in events:
            yield event
            if not isinstance(event, Finished | Stopped):
                yield from ticket.between_steps()
