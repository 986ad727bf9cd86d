"""Request -> Plan: everything that a run will do, decided before any of it is done. Pure, and without torch.

A plan resolves each setting that the request left open, places the times at which the network will be asked,
counts what that costs, and says where the weights will sit and whether they fit. An Extrapolation becomes a
graph of stages; several of them that differ in how the picture is made larger are arms, which share the
native stage and whatever else is equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.image_header import PictureLimits
from sd3demo.engine.init_picture import InitPicture, check_init, init_size, read_init
from sd3demo.engine.input_image import READ, InputImage
from sd3demo.engine.plan.cautions import cautions
from sd3demo.engine.plan.costs import component_bytes, demands, encoder_calls, operations
from sd3demo.engine.plan.encoder_bits import large_encoder_notes, with_large_encoder
from sd3demo.engine.plan.extrapolation import arms_of
from sd3demo.engine.plan.loras import lora_notes, with_loras
from sd3demo.engine.plan.memory import (
    Budget,
    HeldModel,
    Phase,
    Placement,
    choose,
    memory_by_phase,
)
from sd3demo.engine.plan.ranks import check_ranks
from sd3demo.engine.plan.resolve import init_notes, native_stages, resolve, with_init
from sd3demo.engine.plan.stages import Arm, FlowStage, GivenStage, Stage
from sd3demo.engine.plan.unread import Unread, unread_notes, unread_of
from sd3demo.settings import Request, Resolved, ignored, text_inputs
from sd3demo.settings.extrapolation import Extrapolation, ResolvedExtrapolation

RECORDERS = ("lengths",)
"""What every run records unless told otherwise; the names are those of engine.record.recorders."""

SEED_STRIDE = 1  # a batch uses seed, seed + 1, ..., each as the single picture of that seed


@dataclass(frozen=True)
class Plan:
    """What will be done. `request` has every setting resolved; `memory` is the most that each phase needs."""

    request: Resolved
    spec: ModelSpec
    budget: Budget
    stages: tuple[Stage, ...]
    recorders: tuple[str, ...]
    placement: Placement
    components: frozenset[str]
    """The components whose weights are loaded: an encoder that the request turns off is not read."""
    encoder_calls: int
    """Text encoders that will run, at most: a text that is cached is not encoded again."""
    flops: Mapping[Phase, float]
    memory: Mapping[Phase, int]
    seconds: float
    arms: tuple[Arm, ...] = ()
    """The pictures of an extrapolation, the native one first and `request`'s own last; () for a plain run."""
    notes: tuple[str, ...] = ()
    """What a person should know before it runs, a sentence each."""
    unread: Unread = field(default_factory=dict)
    """What of the texts the model does not read; its sentences are among the notes."""
    init: InitPicture | None = field(default=None, compare=False, repr=False)
    """The picture that it starts from, known to `request` by its hash."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The times of the last run of the solver on the way to the result; () where there is none."""
        source = self.flow_of(self.stages[-1])
        return source.sigmas if isinstance(source, FlowStage) else ()

    def stage(self, key: str) -> Stage:
        """The stage of that key."""
        return next(stage for stage in self.stages if stage.key == key)

    def flow_of(self, stage: Stage) -> FlowStage | GivenStage:
        """The stage that a picture comes from: a run of the solver, or the picture that was given."""
        while not isinstance(stage, FlowStage | GivenStage):
            stage = self.stage(stage.needs[0])
        return stage

    @property
    def flow_stages(self) -> tuple[FlowStage, ...]:
        """The runs of the solver, in their order."""
        return tuple(stage for stage in self.stages if isinstance(stage, FlowStage))

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

    def bytes_of(self, components: frozenset[str]) -> int:
        """What the weights of these components take as they are read."""
        return sum(component_bytes(self.request, self.spec, name) for name in components)

    @property
    def model_key(self) -> HeldModel:
        """The model that the run needs, where it needs it."""
        spec = self.spec
        return HeldModel(
            name=spec.name,
            folder=spec.folder,
            revision=spec.revision,
            adapters=tuple((each.sha256, each.weight) for each in spec.adapters),
            large_encoder=spec.large_encoder,
            precision=self.request.precision,
            device=self.budget.device,
            placement=self.placement,
            components=self.components,
        )


def plan(
    request: Request,
    spec: ModelSpec,
    budget: Budget,
    *,
    recorders: tuple[str, ...] = RECORDERS,
    arms: Mapping[str, Extrapolation] | None = None,
    own: InputImage | None = None,
    init: InitPicture | None = None,
    limits: PictureLimits = READ,
) -> Plan:
    """What a run of this request does on this device. Raises Refusal for what the model cannot do.

    A picture that the request starts from is read here, as far as the limits let it; `init` is one that was
    read for a plan before.

    `arms` are extrapolations by name that share the native stage, the request's own among them and last; one
    arm named as its method unless they are given. With `own` a picture of one's own, which the run is then
    given, stands in the place of the native stage.
    """
    check_ranks(request, spec)
    spec = with_loras(request, with_large_encoder(request, spec, budget))
    notes: tuple[str, ...] = ()
    all_arms: tuple[Arm, ...] = ()
    stages: tuple[Stage, ...]
    if isinstance(request, Extrapolation):
        found = arms_of(arms or {request.method: request}, spec, budget, own, init, limits)
        stages, all_arms, notes, init = found.stages, found.arms, found.notes, found.init
        resolved = all_arms[-1].request
    else:
        size = None if init else init_size(request, limits)
        resolved = resolve(request, spec, budget, size=size)
        init = init or read_init(request, resolved.width, resolved.height, limits)
        check_init(request, init)
        resolved = with_init(resolved, init)
        notes = init_notes(resolved, init)
        stages = native_stages(resolved, spec)
    placed = place(resolved, spec, stages, budget)
    flops = operations(resolved, spec, stages)
    unread = unread_of(resolved, spec)
    return Plan(
        request=resolved,
        spec=spec,
        budget=budget,
        stages=stages,
        recorders=recorders,
        placement=placed.placement,
        components=placed.components,
        encoder_calls=encoder_calls(resolved, spec, stages),
        flops=flops,
        memory=placed.memory,
        seconds=sum(flops.values()) / budget.flops,
        arms=all_arms,
        notes=(
            *unread_notes(unread, spec),
            *lora_notes(spec),
            *cautions(resolved, spec),
            *large_encoder_notes(request, budget),
            *notes,
            *ignored(request, resolved, spec),
            *placed.notes,
        ),
        unread=unread,
        init=init,
    )


@dataclass(frozen=True)
class Placed:
    """Where the weights of a run sit, which of them are loaded, and the bytes of each phase."""

    placement: Placement
    components: frozenset[str]
    memory: dict[Phase, int]
    notes: tuple[str, ...] = ()


def place(request: Resolved, spec: ModelSpec, stages: tuple[Stage, ...], budget: Budget) -> Placed:
    """Choose the placement. What an engine holds of the same model stays where it is as long as it fits."""
    needed = spec.needed(text_inputs(request, spec))
    held = budget.held
    if held is None or not held.serves(spec, request.precision, budget.device):
        return _placed(request, spec, stages, budget, needed, None)
    kept = _placed(request, spec, stages, budget, needed | held.components, held.placement)
    if _fits(kept, budget) and kept.placement == held.placement:
        return kept
    lighter = _placed(request, spec, stages, budget, needed, held.placement)
    if request.placement == "auto" and lighter.placement != held.placement:
        note = (
            f"the placement is {lighter.placement} and no longer {held.placement}: this run needs more "
            "memory than is free"
        )
        return Placed(lighter.placement, lighter.components, lighter.memory, (note,))
    return lighter


def _fits(placed: Placed, budget: Budget) -> bool:
    return max(placed.memory.values()) <= budget.memory


def _placed(
    request: Resolved,
    spec: ModelSpec,
    stages: tuple[Stage, ...],
    budget: Budget,
    components: frozenset[str],
    held: Placement | None,
) -> Placed:
    needs = demands(request, spec, stages, components)
    stuck = any(library == "bitsandbytes" for _, library in spec.quantised)  # it cannot be moved
    placement = "resident" if stuck else choose(needs, budget, request.placement, held)
    on_device: Placement = "resident" if budget.device == "cpu" else placement  # a CPU holds all of them
    return Placed(placement, components, memory_by_phase(needs, on_device))
