"""An engine whose runs end when somebody asks them to, for studies that are cancelled within a cell."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from sd3demo.engine import Engine, Plan
    from sd3demo.engine.events import Event, Pixels
    from sd3demo.engine.run.state import LoadedModel
    from sd3demo.flow.solvers import Step


@dataclass(frozen=True)
class StoppableEngine:
    """What a measurement asks of an engine, its runs stopped between two steps once `stop` says so."""

    engine: Engine
    stop: Callable[[], bool]

    def run(
        self,
        plan: Plan,
        *,
        recorders: Sequence[Callable[[Step], None]] = (),
        own: Pixels | None = None,
    ) -> Generator[Event, None, None]:
        yield from self.engine.run(plan, recorders=recorders, stop=self.stop, own=own)

    def hold(self, plan: Plan) -> AbstractContextManager[LoadedModel]:
        return self.engine.hold(plan)


def stoppable(engine: Engine, stop: Callable[[], bool]) -> Engine:
    """The same engine to a measurement."""
    return cast("Engine", StoppableEngine(engine, stop))
