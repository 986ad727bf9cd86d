"""What every tab works with: the models on offer, and the one engine behind them.

Nothing heavy is here until a first plan is run: then the engine, and torch with it, is brought in.
"""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sd3demo.catalogue import CATALOGUE, find, locate
from sd3demo.catalogue.lora_files import asked_loras, offered_loras
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import BatchEvent, Event, Pixels
from sd3demo.engine.image_header import PictureLimits
from sd3demo.engine.plan.interleaving import resting_model
from sd3demo.errors import Refusal
from sd3demo.history import RunStore
from sd3demo.settings import Request, parse
from sd3demo.studies.cache import beside
from sd3demo.ui.server.lighter import refuse_too_long
from sd3demo.ui.server.limits import AT_HOME, Limits
from sd3demo.ui.server.line import Line
from sd3demo.ui.server.shared_run import RunTogether
from sd3demo.ui.server.ticket import Ticket
from sd3demo.ui.server.zerogpu import here, is_zerogpu, on_gpu

if TYPE_CHECKING:
    from sd3demo.engine import Engine

Events: TypeAlias = Generator[Event, None, None]
Run: TypeAlias = Callable[..., Events]
"""run(plan), or run(plan, own) with a picture of one's own as the native stage."""
Together: TypeAlias = Callable[[Sequence[Plan]], Generator[BatchEvent, None, None]]
Member: TypeAlias = Callable[[Plan, Ticket], Events]


@dataclass(frozen=True)
class Core:
    """`models` are names of the catalogue or folders, the first of them chosen at first.

    `history` keeps finished runs; None where visitors share the page, for it shows all of them to everybody.
    `engine` is for studies, which ask more of it than runs. `together` runs a grid's cells in batches; they
    are run one by one without it.
    """

    models: tuple[str, ...]
    run: Run
    history: RunStore | None = None
    engine: Callable[[], "Engine"] = field(default_factory=lambda: EngineWhenWanted())
    together: Together | None = None
    budget: Callable[[Budget], Budget] = lambda free: free
    """What a plan can have, given what is free: what the engine holds counts."""
    may_delete: bool = True
    """Whether visitors may delete runs of the history; whoever runs the page decides."""
    load: Callable[[], None] | None = None
    """Loads the first model ahead of the first run; None where it is in its place already."""
    line: Line = field(default_factory=lambda: Line(AT_HOME))
    """Where all that computes waits for its turn, see `ui.run.turns`; its limits are the page's."""
    member: Member | None = None
    """The events of a run whose turn is shared with others; without it every run goes alone."""

    @property
    def limits(self) -> Limits:
        """What visitors may ask for."""
        return self.line.limits

    @property
    def keeps_running(self) -> bool:
        """Whether a run goes on when its visitor has left: its picture is found in the history then."""
        return self.limits.keep_running and self.history is not None

    @property
    def studies(self) -> Path | None:
        """Where measured cells of studies are cached: beside the runs; None where no runs are kept."""
        return None if self.history is None else beside(self.history.root)


def core(
    models: tuple[str, ...] = tuple(CATALOGUE),
    history: RunStore | None = None,
    limits: Limits = AT_HOME,
    *,
    may_delete: bool = True,
) -> Core:
    """The core over an engine of its own; on ZeroGPU its runs borrow a GPU, one by one."""
    engine = EngineWhenWanted()

    def run(plan: Plan, own: Pixels | None = None, *, until: str = "", results: bytes = b"") -> Events:
        lends = resting_model(plan) is not None
        yield from engine().run(plan, own=own, until=until, results=results, lends=lends)

    def hold(budget: Budget) -> None:
        request = parse(Request, {"prompt": "-", "model": models[0]})
        with engine().hold(plan(request, find(models[0]), budget)):
            pass

    def load() -> None:
        hold(here())

    def together(plans: Sequence[Plan]) -> Generator[BatchEvent, None, None]:
        yield from engine().run_batch(plans, lends=None not in map(resting_model, plans))

    def batch(plans: Sequence[Plan], cancelled: Callable[[int], bool]) -> Generator[BatchEvent, None, None]:
        yield from engine().run_batch(plans, cancelled=cancelled)

    # A study goes on for minutes, longer than ZeroGPU lends: there it has an engine of its own, on the CPU.
    if is_zerogpu():  # which lends its GPU for one run at a time
        return Core(
            models,
            on_gpu(run, hold),
            history,
            EngineWhenWanted(),
            may_delete=may_delete,
            line=Line(limits),
        )
    member, line = member_of(batch, run), Line(limits)
    return Core(models, run, history, engine, together, engine.budget, may_delete, load, line, member)


def member_of(together: RunTogether, alone: Run) -> Member:
    """Return what reads one run of those that share a turn, over functions that run them."""

    def member(plan: Plan, ticket: Ticket) -> Events:
        assert ticket.shared is not None
        yield from ticket.shared.events(ticket.place, together, alone, ticket.check)

    return member


def prepare(values: Mapping[str, object], core: Core, kind: type[Request] = Request) -> Plan:
    """The plan of what a form or a client asks for. Raises Refusal with the first thing wrong."""
    return prepared(parse(kind, values), core)


def prepared(request: Request, core: Core) -> Plan:
    """The plan of a request, an extrapolation too. Raises Refusal for a model that is not to be had here."""
    if request.model not in core.models:  # a page does not open whatever folder its visitors name
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    refuse_other_loras(request)
    spec = find(request.model)
    limits = PictureLimits(core.limits.picture_pixels, core.limits.picture_chunks)
    planned = plan(request, spec, core.budget(here()), limits=limits)
    refuse_too_long(planned, core.limits)
    locate(spec)
    return planned


def refuse_other_loras(request: Request) -> None:
    """Raises Refusal for a LoRA that the page does not offer: it opens no file that its visitors name."""
    offered = offered_loras()
    for each in asked_loras(request.lora):
        if each.name not in offered:
            there = (
                f"choose of {', '.join(offered)}"
                if offered
                else "none is on offer here: `sd3demo serve --lora FILE` offers one"
            )
            raise Refusal(f"unknown LoRA {each.name!r}; {there}")


def warm() -> None:
    """Begins to bring the engine in beside whatever goes on: somebody is about to ask for a picture."""
    threading.Thread(target=import_module, args=("sd3demo.engine.run.engine",), daemon=True).start()


class EngineWhenWanted:
    """The one engine, and torch with it, brought in when it is first asked for."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def __call__(self) -> "Engine":
        with self._lock:
            if self._engine is None:
                from sd3demo.engine import Engine

                self._engine = Engine()
            return self._engine

    def budget(self, free: Budget) -> Budget:
        """The budget of a plan; nothing is brought in for it."""
        return free if self._engine is None else self._engine.budget(free)
