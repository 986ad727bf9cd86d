"""Which weights sit on the device when: a pure function of sizes, free memory and what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sd3demo.catalogue import LargeEncoder, ModelSpec, Part
from sd3demo.errors import Refusal

Placement = Literal["resident", "by-model", "streamed"]
Phase = Literal["encode", "flow", "decode"]

PLACEMENTS: tuple[Placement, ...] = ("resident", "by-model", "streamed")
"""From the fastest to the one that needs least."""

PHASES: Mapping[Phase, Part] = {"encode": "text", "flow": "flow", "decode": "vae"}
"""The phases of a run, in order, and the part at work in each."""

GIB = 2**30
HEADROOM = 1.1  # of what is predicted: allocators round up and keep some for later
STREAMED_SHARE = 0.08  # of a part's weights: two groups of blocks out of some twenty-four are on the device


@dataclass(frozen=True)
class HeldModel:
    """The model that an engine holds: which one, where its weights sit, and which components are loaded."""

    name: str
    folder: str
    revision: str
    adapters: tuple[tuple[str, float], ...]
    precision: str
    device: str
    placement: Placement
    components: frozenset[str] = frozenset()
    large_encoder: LargeEncoder = field(default_factory=LargeEncoder)

    def serves(self, spec: ModelSpec, precision: str, device: str) -> bool:
        """Whether it is the model of a spec, in that precision and on that device."""
        adapters = tuple((each.sha256, each.weight) for each in spec.adapters)
        mine = (self.name, self.folder, self.revision, self.adapters, self.large_encoder)
        theirs = (spec.name, spec.folder, spec.revision, adapters, spec.large_encoder)
        return (*mine, self.precision, self.device) == (*theirs, precision, device)


@dataclass(frozen=True)
class Budget:
    """The device: its kind, the memory that a run can have on it, and about how fast it multiplies matrices.

    What an engine holds counts as free, since it is the same model's or makes room for another; `held` says
    which model that is.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    memory: int = 8 * GIB
    flops: float = 1e11  # a second
    held: HeldModel | None = None

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
    evicted: int = 0
    """Of the weights: what waits on the CPU while the part is at work, where parts come and go."""


def memory_by_phase(demands: Mapping[Phase, Demand], placement: Placement) -> dict[Phase, int]:
    """Bytes on the device in each phase under a placement."""
    everything = sum(demand.weights for demand in demands.values())
    held = {
        "resident": lambda demand: everything,
        "by-model": lambda demand: demand.weights - demand.evicted,
        "streamed": lambda demand: int(demand.weights * STREAMED_SHARE),
    }[placement]
    return {phase: int(HEADROOM * (held(demand) + demand.activations)) for phase, demand in demands.items()}


def fits(demands: Mapping[Phase, Demand], budget: Budget, placement: Placement) -> bool:
    """Whether the memory of every phase is there."""
    return max(memory_by_phase(demands, placement).values()) <= budget.memory


def choose(
    demands: Mapping[Phase, Demand],
    budget: Budget,
    asked: Placement | Literal["auto"],
    held: Placement | None = None,
) -> Placement:
    """The placement asked for, the one that the model has already, or the fastest one that fits.

    Where none fits, the one that needs least. A model keeps its placement, `held`, until something else is
    asked for or it no longer fits. On a CPU the weights are where they are used already.
    """
    if asked != "auto":
        return asked
    if budget.device == "cpu":
        return held or "resident"
    for placement in PLACEMENTS[PLACEMENTS.index(held) if held else 0 : -1]:
        if fits(demands, budget, placement):
            return placement
    return "streamed"
