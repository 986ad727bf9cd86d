"""A plain request at one size: its open settings take the model's values; and its one stage. Pure."""

import math
from collections.abc import Iterable, Sequence

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.plan.costs import text_tokens
from sd3demo.engine.plan.memory import Budget
from sd3demo.engine.plan.stages import FlowStage
from sd3demo.errors import Refusal
from sd3demo.flow.grids import time_grid
from sd3demo.flow.guidance import Branch, Guidance
from sd3demo.flow.solvers import SOLVERS, At
from sd3demo.settings import Request, Resolved, options_of, parse, skipped_layers

NATIVE = "native"
"""The key of the stage, and the name of its arm in an extrapolation."""


def resolve(request: Request, spec: ModelSpec, budget: Budget) -> Resolved:
    """The request with the model's values where it left them open, checked against what the model holds."""
    unit, longest = spec.latent.multiple, spec.can.max_side
    width, height = request.width or spec.native, request.height or spec.native
    for name, side in (("width", width), ("height", height)):
        if side % unit or side > longest:
            nearest = min(max(round(side / unit), 1) * unit, longest)
            raise Refusal(
                f"{name} is {side}; {spec.name} makes sides that divide by {unit}, "
                f"up to {longest} px: try {nearest}"
            )
    shift = request.shift
    if shift is None:
        shift = spec.shift.default(width * height, spec.native**2)
    elif shift == "auto":
        shift = spec.shift.scaled(width * height, spec.native**2)
    auto = "bfloat16" if budget.device == "cuda" else "float32"
    chosen = {
        "width": width,
        "height": height,
        "steps": request.steps or spec.defaults.steps,
        "cfg": spec.defaults.cfg if request.cfg is None else request.cfg,
        "shift": shift,
        "schedule": request.schedule or spec.defaults.schedule,
        "precision": auto if request.precision == "auto" else request.precision,
    }
    return parse(Resolved, {**request.model_dump(), **chosen, **options_of(request, spec).resolved(spec)})


def guidance_of(request: Resolved, sigmas: Sequence[float]) -> Guidance:
    """How the branches become one velocity under these settings, in a run over these times."""
    guided = math.floor((len(sigmas) - 1) * request.cfg_truncation + 1e-9)  # steps with guidance
    low = max(request.cfg_from, sigmas[guided - 1]) if guided < len(sigmas) - 1 else request.cfg_from
    never = guided == 0 or low > request.cfg_to
    return Guidance(
        1.0 if never else request.cfg,
        (min(low, request.cfg_to), request.cfg_to),
        request.skip_scale,
        (request.skip_from, request.skip_to),
        channels=3 if request.guided_channels == "three" else 0,
        renorm="off" if request.renorm == "auto" else request.renorm,
    )


def embedded_scale(guidance: float | str) -> float | None:
    """The scale that the network reads; a model that reads none leaves the setting at auto."""
    return None if isinstance(guidance, str) else guidance


def asked_branches(guidance: Guidance, visits: Iterable[At]) -> tuple[Branch, ...]:
    """Every branch that is asked for at any of these times, each once."""
    return tuple(dict.fromkeys(branch for at in visits for branch in guidance.wanted(at)))


def native_stage(request: Resolved, spec: ModelSpec) -> FlowStage:
    """The one run of the solver that a plain request is."""
    sigmas = tuple(float(t) for t in time_grid(request.steps, request.shift, request.schedule))
    guidance = guidance_of(request, sigmas)
    visits = SOLVERS[request.solver].visits(sigmas)
    calls = sum(len(guidance.wanted(at)) for at in visits)
    tokens = spec.latent.tokens(request.width, request.height)
    return FlowStage(
        key=NATIVE,
        width=request.width,
        height=request.height,
        sigmas=sigmas,
        visits=tuple(at.t for at in visits),
        calls=calls,
        branches=asked_branches(guidance, visits),
        guidance=guidance,
        skip_layers=skipped_layers(request.skip_layers),
        embedded=embedded_scale(request.guidance),
        solver=request.solver,
        flops=calls * spec.network.flops(tokens, text_tokens(request, spec)),
    )
