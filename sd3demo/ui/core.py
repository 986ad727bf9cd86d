"""What every tab works with: the models on offer, and the one engine behind them.

Nothing heavy is here until a first plan is run: then the engine, and torch with it, is brought in.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from sd3demo.catalogue import CATALOGUE, find, locate
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import Event
from sd3demo.engine.machine import budget
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse

if TYPE_CHECKING:
    from sd3demo.engine import Engine

Events: TypeAlias = Generator[Event, None, None]
Run: TypeAlias = Callable[[Plan], Events]


@dataclass(frozen=True)
class Core:
    """`models` are names of the catalogue or folders, the first of them chosen at first."""

    models: tuple[str, ...]
    run: Run


def core(models: tuple[str, ...] = tuple(CATALOGUE)) -> Core:
    """The core over an engine of its own."""
    return Core(models, _engine_when_wanted())


def prepare(values: Mapping[str, object], core: Core) -> Plan:
    """The plan of what a form or a client asks for. Raises Refusal with the first thing wrong."""
    request = parse(Request, values)
    if request.model not in core.models:  # a page does not open whatever folder its visitors name
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    spec = find(request.model)
    made = plan(request, spec, budget())
    locate(spec)
    return made


def warm() -> None:
    """Begins to bring the engine in beside whatever goes on: somebody is about to ask for a picture."""
    threading.Thread(target=import_module, args=("sd3demo.engine.run",), daemon=True).start()


def _engine_when_wanted() -> Run:
    made: list[Engine] = []
    lock = threading.Lock()

    def run(plan: Plan) -> Events:
        with lock:
            if not made:
                from sd3demo.engine import Engine

                made.append(Engine())
        yield from made[0].run(plan)

    return run
