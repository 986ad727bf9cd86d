"""Request -> Plan: everything that a run will do, decided before any of it is done. Pure, and without torch.

A plan resolves each setting that the request left open, places the times at which the network will be asked,
counts what that costs, and says where the weights will sit and whether they fit. An Extrapolation becomes a
graph of stages; several of them that differ in how the picture is made larger are arms, which share the
native stage and whatever else is equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.input_image import InputImage
from sd3demo.engine.plan.advice import advice, placed
from sd3demo.engine.plan.costs import text_tokens
from sd3demo.engine.plan.extrapolation import arms_of
from sd3demo.engine.plan.memory import GIB, Budget, Phase, Placement
from sd3demo.engine.plan.needs import encoder_calls, operations
from sd3demo.engine.plan.resolve import native_stage, resolve
from sd3demo.engine.plan.stages import Arm, Stage
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Resolved
from sd3demo.settings.extrapolation import Extrapolation, ResolvedExtrapolation

__all__ = [
    "RECORDERS",
    "Arm",
    "Plan",
    "Stage",
    "plan",
    "refuse_unless_it_fits",
    "resolve",
    "text_tokens",
    "too_large",
]

RECORDERS = ("lengths",)
"""What every run records unless told otherwise; the names are those of engine.recorders."""

SEED_STRIDE = 1  # picture k of a batch has seed + k, so that it equals the single picture of that seed


@dataclass(frozen=True)
class Plan:
    """What will be done. `request` has every setting resolved; `memory` is the most that each phase needs."""

    request: Resolved
    spec: ModelSpec
    budget: Budget
    stages: tuple[Stage, ...]
    recorders: tuple[str, ...]
    placement: Placement
    encoder_calls: int
    """Text encoders that will run, at most: what is remembered is not encoded again."""
    flops: Mapping[Phase, float]
    memory: Mapping[Phase, int]
    seconds: float
    arms: tuple[Arm, ...] = ()
    """The pictures of an extrapolation, the native one first and `request`'s own last; () for a plain run."""
    notes: tuple[str, ...] = ()
    """What a person should know before it runs, a sentence each."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The times of the last run of the solver on the way to the result."""
        return self.flow_of(self.stages[-1]).sigmas

    def stage(self, key: str) -> Stage:
        """The stage of that key."""
        return next(stage for stage in self.stages if stage.key == key)

    def flow_of(self, stage: Stage) -> Stage:
        """The run of the solver that a stage's picture comes from: itself, but for one that resamples."""
        return stage if stage.kind in ("flow", "given") else self.stage(stage.needs[0])

    @property
    def own_picture(self) -> str:
        """The SHA-256 of the picture in place of the native stage; empty where there is that stage."""
        return self.request.own_picture if isinstance(self.request, ResolvedExtrapolation) else ""

    @property
    def calls(self) -> int:
        return sum(stage.calls for stage in self.stages)

    @property
    def fits(self) -> bool:
        return max(self.memory.values()) <= self.budget.memory

    @property
    def seeds(self) -> tuple[int, ...]:
        """One for each picture."""
        return tuple(self.request.seed + SEED_STRIDE * k for k in range(self.request.count))


def plan(
    request: Request,
    spec: ModelSpec,
    budget: Budget,
    *,
    recorders: tuple[str, ...] = RECORDERS,
    arms: Mapping[str, Extrapolation] | None = None,
    own: InputImage | None = None,
) -> Plan:
    """What a run of this request does on this device. Raises Refusal for what the model cannot do.

    `arms` are extrapolations by name that share the native stage, the request's own among them and last; one
    arm named as its method unless they are given. With `own` a picture of one's own, which the run is then
    given, stands in the place of the native stage.
    """
    notes: tuple[str, ...] = ()
    made_arms: tuple[Arm, ...] = ()
    if isinstance(request, Extrapolation):
        stages, made_arms, notes = arms_of(arms or {request.method: request}, spec, budget, own)
        resolved = made_arms[-1].request
    else:
        resolved = resolve(request, spec, budget)
        stages = (native_stage(resolved, spec),)
    placement, memory = placed(resolved, spec, stages, budget)
    flops = operations(resolved, spec, stages)
    return Plan(
        request=resolved,
        spec=spec,
        budget=budget,
        stages=stages,
        recorders=recorders,
        placement=placement,
        encoder_calls=encoder_calls(resolved, spec, stages),
        flops=flops,
        memory=memory,
        seconds=sum(flops.values()) / budget.flops,
        arms=made_arms,
        notes=notes,
    )


def refuse_unless_it_fits(made: Plan) -> None:
    """Raises Refusal, with what would make it fit, for an extrapolation with too little memory."""
    if made.fits or not made.arms:
        return
    raise Refusal(too_large(made))


def too_large(made: Plan) -> str:
    """What a run that does not fit needs, what is free, and what to try."""
    request, needed = made.request, max(made.memory.values())
    return (
        f"{request.count} x {request.width} x {request.height} px need about {needed / GIB:.1f} GiB and "
        f"{made.budget.memory / GIB:.1f} GiB are free: try {advice(made)}"
    )
