"""A study in the page's queue: after each cell, whoever has had less goes first."""

from collections.abc import Callable, Generator
from contextlib import closing

from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Settings
from sd3demo.studies.study import Measured, Study, StudyEvent, run
from sd3demo.ui.context import Core
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.turns import join
from sd3demo.ui.server.ticket import Ticket, Waiting

MIB = 2**20
OFF = "studies are off on this page; run `sd3demo study` on your own machine"


def refuse_where_off(core: Core) -> None:
    """Raise Refusal where visitors may run no studies."""
    if not core.limits.studies:
        raise Refusal(OFF)


def study_in_turn(
    core: Core, study: Study, settings: Settings
) -> "Generator[StudyEvent | Waiting, None, None]":
    """What `studies.study.run` yields, and news of the place in the queue. Closing this closes the study.

    Raises Refusal where studies are off, RunStopped within a step where nobody waits for it any more, and
    Failure after the most seconds that a run has here. Results are saved where runs are.
    """
    refuse_where_off(core)
    limits = core.limits
    with join(core, 0.0) as ticket:
        yield from ticket.waiting()
        engine, limit = core.engine(), int(limits.studies_mib * MIB)
        with closing(run(study, settings, engine, core.studies, limit=limit, stop=_stop(ticket))) as news:
            try:
                for one in news:
                    yield one
                    ticket.check()
                    if isinstance(one, Measured) and one.fresh:
                        yield from ticket.give_way(ticket.elapsed)
                        if ticket.used > limits.run_seconds:
                            raise Failure(
                                f"the study was stopped after {ticket.used:.0f} s; a run has "
                                f"{limits.run_seconds:g} s here: try a smaller n"
                            )
            except Failure:
                ticket.check()  # a cell that was stopped fails
                raise


def _stop(ticket: Ticket) -> Callable[[], bool]:
    def stop() -> bool:
        try:
            ticket.check()
        except RunStopped:
            return True
        return False

    return stop
