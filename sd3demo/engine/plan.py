"""Request -> Plan: everything that a run will do, decided before any of it is done. Pure, and without torch.

A plan resolves each setting that the request left open, places the times at which the network will be asked,
counts what that costs, and says where the weights will sit and whether they fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sd3demo.catalogue import Encoder, ModelSpec
from sd3demo.engine.costs import (
    BFLOAT16,
    FLOAT32,
    decoder_activations,
    decoder_flops,
    image_tokens,
    network_activations,
    network_flops,
)
from sd3demo.engine.placement import PHASES, Budget, Demand, Phase, Placement, choose, memory_by_phase
from sd3demo.errors import Refusal
from sd3demo.flow.grids import resolution_shift, time_grid
from sd3demo.flow.guidance import Guidance
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings import Request, Resolved, parse

RECORDERS = ("lengths",)
"""What every run records unless told otherwise; the names are those of engine.recorders."""

SEED_STRIDE = 1  # picture k of a batch has seed + k, so that it equals the single picture of that seed


@dataclass(frozen=True)
class Stage:
    """One run of the solver at one size. `needs` names the stages whose results it starts from."""

    key: str
    width: int
    height: int
    sigmas: tuple[float, ...]
    visits: tuple[float, ...]
    """Every time at which the network will be asked, in order."""
    calls: int
    """Evaluations of the network for one picture; two branches in one call count two."""
    guidance: Guidance
    solver: str
    needs: tuple[str, ...] = ()

    @property
    def branches(self) -> int:
        """Conditionings that the network is ever asked about: 1 without guidance, else 2."""
        return 2 if self.calls > len(self.visits) else 1


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

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The times of the last stage, whose pictures are the result."""
        return self.stages[-1].sigmas

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
    request: Request, spec: ModelSpec, budget: Budget, *, recorders: tuple[str, ...] = RECORDERS
) -> Plan:
    """What a run of this request does on this device. Raises Refusal for what the model cannot do."""
    resolved = resolve(request, spec, budget)
    stage = _stage(resolved)
    flops = _flops(resolved, spec, stage)
    demands = _demands(resolved, spec)
    placement = choose(demands, budget, resolved.placement)
    return Plan(
        request=resolved,
        spec=spec,
        budget=budget,
        stages=(stage,),
        recorders=recorders,
        placement=placement,
        encoder_calls=_encoder_calls(resolved, spec, stage),
        flops=flops,
        memory=memory_by_phase(demands, placement),
        seconds=sum(flops.values()) / budget.flops,
    )


def resolve(request: Request, spec: ModelSpec, budget: Budget) -> Resolved:
    """The request with the model's values where it left them open, checked against what the model holds."""
    width, height = request.width or spec.native, request.height or spec.native
    for name, side in (("width", width), ("height", height)):
        if side % spec.multiple or side > spec.largest:
            nearest = min(max(round(side / spec.multiple), 1) * spec.multiple, spec.largest)
            raise Refusal(
                f"{name} is {side}; {spec.name} makes sides that divide by {spec.multiple}, "
                f"up to {spec.largest} px: try {nearest}"
            )
    t5_tokens = request.max_sequence_length or spec.t5_tokens
    if t5_tokens > spec.t5_limit:
        raise Refusal(
            f"max_sequence_length is {t5_tokens}; it must lie in [1, {spec.t5_limit}] for {spec.name}"
        )
    shift = request.shift
    if shift is None:
        shift = spec.defaults.shift
    elif shift == "auto":
        shift = spec.defaults.shift * resolution_shift(width * height, spec.native**2)
    auto = "bfloat16" if budget.device == "cuda" else "float32"
    chosen = {
        "width": width,
        "height": height,
        "steps": request.steps or spec.defaults.steps,
        "cfg": request.cfg or spec.defaults.cfg,
        "shift": shift,
        "schedule": request.schedule or spec.defaults.schedule,
        "max_sequence_length": t5_tokens,
        "precision": auto if request.precision == "auto" else request.precision,
    }
    return parse(Resolved, request.model_dump() | chosen)


def text_tokens(request: Resolved, spec: ModelSpec) -> int:
    """Tokens of the text: the CLIPs' side by side in one row of tokens, then T5's."""
    return spec.clip_tokens + (0 if request.t5 == "omit" else request.max_sequence_length)


def _stage(request: Resolved) -> Stage:
    sigmas = tuple(float(t) for t in time_grid(request.steps, request.shift, request.schedule))
    guidance = Guidance(request.cfg, (request.cfg_from, request.cfg_to))
    visits = SOLVERS[request.solver].visits(sigmas)
    return Stage(
        key="native",
        width=request.width,
        height=request.height,
        sigmas=sigmas,
        visits=tuple(at.t for at in visits),
        calls=sum(len(guidance.wanted(at)) for at in visits),
        guidance=guidance,
        solver=request.solver,
    )


def _encoder_calls(request: Resolved, spec: ModelSpec, stage: Stage) -> int:
    modes: Mapping[Encoder, str] = {"clip_l": request.clip_l, "clip_g": request.clip_g, "t5": request.t5}
    running = sum(spec.has(encoder) and mode in ("on", "empty") for encoder, mode in modes.items())
    return running * stage.branches


def _flops(request: Resolved, spec: ModelSpec, stage: Stage) -> dict[Phase, float]:
    text = text_tokens(request, spec)
    call = network_flops(spec.network, image_tokens(spec, stage.width, stage.height), text)
    return {
        "encode": 2.0 * spec.size("text").parameters * text * stage.branches,
        "flow": call * stage.calls * request.count,
        "decode": decoder_flops(stage.width * stage.height) * request.count * _decoder_scale(spec),
    }


def _demands(request: Resolved, spec: ModelSpec) -> dict[Phase, Demand]:
    width = FLOAT32 if request.precision == "float32" else BFLOAT16
    text, image = text_tokens(request, spec), image_tokens(spec, request.width, request.height)
    batch = request.count * (2 if request.cfg != 1 else 1)
    activations: dict[Phase, int] = {
        "encode": text * spec.network.joint_dim * 20 * width,
        "flow": network_activations(spec.network, image, text, batch, width),
        "decode": int(decoder_activations(request.width * request.height, width) * _decoder_scale(spec)),
    }
    return {
        phase: Demand(spec.size(part).parameters * width, activations[phase])
        for phase, part in PHASES.items()
    }


def _decoder_scale(spec: ModelSpec) -> float:
    """How heavy an autoencoder is beside SD3's, by its parameters."""
    return spec.size("vae").parameters / 83_819_683
