"""Running a request to its end in a test, with the latents that came of it."""

from dataclasses import dataclass

from torch import Tensor

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget, Engine, Plan, plan
from sd3demo.engine.events import Event, Finished
from sd3demo.flow.solvers import Step
from sd3demo.models.exact import EXACT
from sd3demo.settings import Request

HERE = Budget()


@dataclass(frozen=True)
class Ran:
    """All events of a run, its steps, and its end."""

    plan: Plan
    events: list[Event]
    steps: list[Step]

    @property
    def finished(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def latents(self) -> Tensor:
        return self.steps[-1].x_next


def run(
    request: Request,
    spec: ModelSpec | None = None,
    *,
    engine: Engine | None = None,
    budget: Budget = HERE,
    recorders: tuple[str, ...] = ("lengths",),
) -> Ran:
    """Everything that a request does, on a new engine unless one is given."""
    made = plan(request, spec or find(request.model), budget, recorders=recorders)
    steps: list[Step] = []
    events = list((engine or Engine()).run(made, recorders=[steps.append]))
    return Ran(made, events, steps)


def exactly(prompt: str = "red", **settings: object) -> Request:
    """A request to the closed-form model, 16 x 16 and a few steps long."""
    return Request.model_validate({"prompt": prompt, "model": "exact", "cfg": 1, "shift": 1, **settings})


__all__ = ["EXACT", "HERE", "Ran", "exactly", "run"]
