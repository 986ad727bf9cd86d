"""ZeroGPU, a Space's GPU that is lent for one call: `spaces.GPU` round the engine's runs; nothing elsewhere.

There the call works in a process of its own, forked from this one, so that plans go in and events come out by
pickle; of an exception only the class would come back, so a sentence comes as a value and is raised here. The
weights have to be on `cuda` before the page opens, where torch only pretends to have a GPU, and closing the
generator is the only stop. A plan of several stages that asks for more than a call may have is several calls.
"""

import math
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib import import_module
from typing import TypeAlias

from sd3demo.engine import Plan
from sd3demo.engine.events import Event, Paused, Pixels
from sd3demo.engine.plan.device import GPU_FLOPS, budget
from sd3demo.engine.plan.memory import GIB, Budget
from sd3demo.errors import Failure, Refusal

Runs: TypeAlias = Callable[..., Generator[Event, None, None]]

LENT = Budget("cuda", 68 * GIB, GPU_FLOPS)
"""What ZeroGPU lends: a slice of an H200. Nothing on the machine can be asked for it before a call."""
STARTING = 8.0  # seconds until the forked process has the weights on its GPU
MARGIN = 3.0  # an estimate of the run's time is wrong by at most so much, and who asks for less waits less


@dataclass(frozen=True)
class Ended:
    """How a run went wrong in the other process."""

    sentence: str
    refused: bool


def is_zerogpu() -> bool:
    """Whether this process is a Space on ZeroGPU, by the same sign that `spaces` goes by."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def here() -> Budget:
    """What a run can count on: what ZeroGPU will lend, elsewhere what this machine has."""
    return LENT if is_zerogpu() else budget()


@dataclass(frozen=True)
class LentCall:
    """One call of the GPU: the stage before which it ends, empty for the plan's end, and what it asks for."""

    until: str
    seconds: int


def lent_calls(plan: Plan, most: int) -> tuple[LentCall, ...]:
    """The calls that carry a plan out: one where it fits, else as few as its stages allow.

    What a call asks for is checked against the visitor's quota. Each reads the texts and starts anew. Raises
    Refusal where a single stage asks for more than `most`.
    """
    flow = {stage.key: stage.flops / plan.budget.flops for stage in plan.flow_stages}
    beside = plan.seconds - sum(flow.values())  # encoding and decoding, once a call
    calls: list[LentCall] = []
    taken = 0.0
    for stage in plan.stages:
        more = flow.get(stage.key, 0.0)
        if taken and _asked(beside + taken + more) > most:
            calls.append(LentCall(stage.key, _asked(beside + taken)))
            taken = 0.0
        taken += more
        asked = _asked(beside + taken)
        if asked > most:
            raise Refusal(
                f"this may take {asked} s of the GPU, and a call has {most} s here; try fewer steps, a "
                "smaller picture or fewer at once"
            )
    return (*calls, LentCall("", _asked(beside + taken)))


def _asked(seconds: float) -> int:
    return math.ceil(STARTING + MARGIN * seconds)


def on_gpu(run: Runs, hold: Callable[[Budget], None]) -> Runs:
    """The runs behind `spaces.GPU` on ZeroGPU, the same function elsewhere or where `spaces` is missing.

    `hold` puts the model in its place for a budget.
    """
    if not is_zerogpu():
        return run
    try:
        spaces = import_module("spaces")  # before torch: it lets torch pretend to a GPU
    except ImportError:
        return run
    from sd3demo.deploy import limits

    most = limits().gpu_seconds
    hold(LENT)

    def lent(
        call: LentCall, results: bytes, plan: Plan, *own: Pixels
    ) -> Generator[Event | Ended, None, None]:
        go_on = {"until": call.until, "results": results} if call.until or results else {}
        try:
            yield from run(plan, *own, **go_on)
        except (Refusal, Failure) as error:
            yield Ended(str(error), isinstance(error, Refusal))

    borrowed = spaces.GPU(lent, duration=lambda call, *_: call.seconds)

    def from_there(plan: Plan, *own: Pixels) -> Generator[Event, None, None]:
        results = b""
        for call in lent_calls(plan, most):  # a plan that is too long is refused before a GPU is asked for
            events = borrowed(call, results, plan, *own)
            try:
                for event in events:
                    if isinstance(event, Ended):
                        raise (Refusal if event.refused else Failure)(event.sentence)
                    if isinstance(event, Paused):
                        results = event.results
                    else:
                        yield event
            finally:
                events.close()

    return from_there
