"""Which weights sit on the device when: a pure function of sizes, free memory and what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sd3demo.catalogue import Part
from sd3demo.errors import Refusal

Placement = Literal["resident", "by-model", "streamed"]
Phase = Literal["encode", "flow", "decode"]

PHASES: Mapping[Phase, Part] = {"encode": "text", "flow": "flow", "decode": "vae"}
"""The phases of a run, in order, and the part at work in each."""

GIB = 2**30
HEADROOM = 1.1  # of what is predicted: allocators round up and keep some for later
STREAMED_SHARE = 0.08  # of a part's weights: two groups of blocks out of some twenty-four are on the device


@dataclass(frozen=True)
class Budget:
    """The device: its kind, the memory that is free on it, and about how fast it multiplies matrices."""

    device: Literal["cpu", "cuda"] = "cpu"
    memory: int = 8 * GIB
    flops: float = 1e11  # a second

    def __post_init__(self) -> None:
        if not self.memory > 0 or not self.flops > 0:
            raise Refusal(
                f"the memory is {self.memory / GIB:g} GiB; give what the device has free, such as 8"
            )


@dataclass(frozen=True)
class Demand:
    """What the run needs in a phase: its part's weights and the activations at work, in bytes."""

    weights: int
    activations: int


def memory_by_phase(demands: Mapping[Phase, Demand], placement: Placement) -> dict[Phase, int]:
    """Bytes on the device in each phase under a placement."""
    everything = sum(demand.weights for demand in demands.values())
    held = {
        "resident": lambda demand: everything,
        "by-model": lambda demand: demand.weights,
        "streamed": lambda demand: int(demand.weights * STREAMED_SHARE),
    }[placement]
    return {phase: int(HEADROOM * (held(demand) + demand.activations)) for phase, demand in demands.items()}


def choose(demands: Mapping[Phase, Demand], budget: Budget, asked: Placement | Literal["auto"]) -> Placement:
    """The placement asked for, or the fastest one that fits; where none does, the one that needs least.

    On a CPU the weights are where they are used already.
    """
    if asked != "auto":
        return asked
    if budget.device == "cpu":
        return "resident"
    for placement in ("resident", "by-model"):
        if max(memory_by_phase(demands, placement).values()) <= budget.memory:
            return placement
    return "streamed"
