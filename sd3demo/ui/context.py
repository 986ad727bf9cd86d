"""What every tab works with: the models on offer, and the one engine behind them.

Nothing heavy is here until a first plan is run: then the engine, and torch with it, is brought in.
"""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from sd3demo.catalogue import CATALOGUE, find, locate
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import BatchEvent, Event, Pixels
from sd3demo.errors import Refusal
from sd3demo.history import RunStore
from sd3demo.settings import Request, parse
from sd3demo.ui.server.zerogpu import here, is_zerogpu, on_gpu

if TYPE_CHECKING:
    from sd3demo.engine import Engine

Events: TypeAlias = Generator[Event, None, None]
Run: TypeAlias = Callable[..., Events]
"""run(plan), or run(plan, own) with a picture of one's own in place of the native stage."""
Together: TypeAlias = Callable[[Sequence[Plan]], Generator[BatchEvent, None, None]]


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
    engine: Callable[[], "Engine"] = field(default_factory=lambda: _engine_at_first_use())
    together: Together | None = None


def core(models: tuple[str, ...] = tuple(CATALOGUE), history: RunStore | None = None) -> Core:
    """The core over an engine of its own; on ZeroGPU its runs borrow a GPU, one by one."""
    engine = _engine_at_first_use()

    def run(plan: Plan, own: Pixels | None = None) -> Events:
        yield from engine().run(plan, own=own)

    def hold(budget: Budget) -> None:
        request = parse(Request, {"prompt": "-", "model": models[0]})
        with engine().hold(plan(request, find(models[0]), budget)):
            pass

    def together(plans: Sequence[Plan]) -> Generator[BatchEvent, None, None]:
        yield from engine().run_batch(plans)

    # A study goes on for minutes, longer than ZeroGPU lends: there it has an engine of its own, on the CPU.
    if is_zerogpu():  # which lends its GPU for one run at a time
        return Core(models, on_gpu(run, hold), history, _engine_at_first_use())
    return Core(models, run, history, engine, together)


def prepare(values: Mapping[str, object], core: Core, kind: type[Request] = Request) -> Plan:
    """The plan of what a form or a client asks for. Raises Refusal with the first thing wrong."""
    return prepared(parse(kind, values), core)


def prepared(request: Request, core: Core) -> Plan:
    """The plan of a request, an extrapolation too. Raises Refusal for a model that is not to be had here."""
    if request.model not in core.models:  # a page does not open whatever folder its visitors name
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    spec = find(request.model)
    planned = plan(request, spec, here())
    locate(spec)
    return planned


def warm() -> None:
    """Import the engine in a thread of its own, since a run is likely to follow."""
    threading.Thread(target=import_module, args=("sd3demo.engine.run.engine",), daemon=True).start()


def _engine_at_first_use() -> Callable[[], "Engine"]:
    engines: list[Engine] = []
    lock = threading.Lock()

    def engine() -> "Engine":
        with lock:
            if not engines:
                from sd3demo.engine import Engine

                engines.append(Engine())
            return engines[0]

    return engine
