"""A plain request at one size: its open settings take the model's values; and its one stage. Pure."""

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.plan.costs import image_tokens, network_flops, text_tokens
from sd3demo.engine.plan.memory import Budget
from sd3demo.engine.plan.stages import Stage
from sd3demo.errors import Refusal
from sd3demo.flow.grids import resolution_shift, time_grid
from sd3demo.flow.guidance import Guidance
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings import Request, Resolved, parse

NATIVE = "native"
"""The key of the stage, and the name of its arm in an extrapolation."""


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


def native_stage(request: Resolved, spec: ModelSpec) -> Stage:
    """The one run of the solver that a plain request is."""
    sigmas = tuple(float(t) for t in time_grid(request.steps, request.shift, request.schedule))
    guidance = Guidance(request.cfg, (request.cfg_from, request.cfg_to))
    visits = SOLVERS[request.solver].visits(sigmas)
    calls = sum(len(guidance.wanted(at)) for at in visits)
    tokens = image_tokens(spec, request.width, request.height)
    return Stage(
        key=NATIVE,
        width=request.width,
        height=request.height,
        sigmas=sigmas,
        visits=tuple(at.t for at in visits),
        calls=calls,
        guidance=guidance,
        solver=request.solver,
        flops=calls * network_flops(spec.network, tokens, text_tokens(request, spec)),
    )
