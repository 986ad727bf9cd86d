"""A plain request at one size: its open settings take the model's values; and its one stage. Pure."""

import math
from collections.abc import Iterable, Sequence

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.init_picture import InitPicture
from sd3demo.engine.plan.costs import decoder_scale, encoder_flops, text_tokens
from sd3demo.engine.plan.memory import Budget
from sd3demo.engine.plan.stages import FlowStage, GivenStage, LiftStage, Stage
from sd3demo.errors import Refusal
from sd3demo.flow.grids import time_grid
from sd3demo.flow.guidance import Branch, Guidance
from sd3demo.flow.solvers import SOLVERS, At
from sd3demo.settings import Request, Resolved, counted, options_of, parse, skipped_layers, times_from

NATIVE = "native"
"""The key of the stage, and the name of its arm in an extrapolation."""

STRETCHED = 0.02  # how far the logarithms of two proportions may be apart before it is said
INIT = "init"
"""The key of the stage that is the picture a run starts from."""


def resolve(
    request: Request, spec: ModelSpec, budget: Budget, *, size: tuple[int, int] | None = None
) -> Resolved:
    """The request with the model's values where it left them open, checked against what the model holds.

    `size` is that of the picture to start from, which is the run's where no other is asked for.
    """
    unit, longest = spec.latent.multiple, spec.can.max_side
    if size is not None and request.width is None and request.height is None:
        _check_init_size(size, spec)
        width, height = size
    else:
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
        "init": "",  # what was read of them is known by its hash
        "mask": "",
        "lora": ",".join(each.short for each in spec.adapters),
        "lora_sha256": ",".join(each.sha256 for each in spec.adapters),
    }
    return parse(Resolved, {**request.model_dump(), **chosen, **options_of(request, spec).resolved(spec)})


def _check_init_size(size: tuple[int, int], spec: ModelSpec) -> None:
    """Raises Refusal for a picture to start from of a size that the model does not make."""
    unit, longest = spec.latent.multiple, spec.can.max_side
    if all(side % unit == 0 and side <= longest for side in size):
        return
    width, height = (min(side, longest) for side in near_native(size, spec))
    raise Refusal(
        f"init is {size[0]} x {size[1]}; {spec.name} makes sides that divide by {unit}, up to {longest} px: "
        f"give width {width} and height {height}, to which it is scaled"
    )


def near_native(shape: tuple[int, int], spec: ModelSpec) -> tuple[int, int]:
    """The size of the model's own area whose proportions are about those of a shape."""
    unit, scale = spec.latent.multiple, spec.native / math.sqrt(math.prod(shape))
    width, height = (max(round(side * scale / unit), 1) * unit for side in shape)
    return width, height


def with_init(resolved: Resolved, init: InitPicture | None) -> Resolved:
    """The request with the hashes of the picture that it starts from."""
    if init is None:
        return resolved
    return resolved.model_copy(update={"init_sha256": init.sha256, "mask_sha256": init.mask_sha256})


def init_notes(resolved: Resolved, init: InitPicture | None) -> tuple[str, ...]:
    """What to know of a run from a picture: the steps that it makes, and whether the picture is stretched."""
    if init is None:
        return ()
    sigmas = native_sigmas(resolved)
    notes = [f"of {counted(resolved.steps, 'step')} {len(sigmas) - 1} will be run, from t = {sigmas[0]:.4g}"]
    if sigmas[0] >= 1 and init.mask is None:
        notes.append("at strength 1 the run begins at noise alone, so init changes nothing")
    (width, height), (wide, high) = init.file_size, (resolved.width, resolved.height)
    if abs(math.log(width * high / (height * wide))) > STRETCHED:
        notes.append(f"init is {width} x {height} and is stretched to {wide} x {high}")
    return tuple(notes)


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


def native_stages(request: Resolved, spec: ModelSpec) -> tuple[Stage, ...]:
    """The stages of a plain request: the run of the solver, after the picture that it starts from."""
    if not request.init_sha256:
        return (native_stage(request, spec),)
    size = (request.width, request.height)
    given = GivenStage(INIT, *size)
    latent = LiftStage(
        key=f"latent of {INIT}",
        width=request.width,
        height=request.height,
        needs=(given.key,),
        resampling="bicubic",
        posterior="mean",
        flops=encoder_flops(math.prod(size)) * decoder_scale(spec),
    )
    return (given, latent, native_stage(request, spec, needs=(latent.key,)))


def native_sigmas(request: Resolved) -> tuple[float, ...]:
    """The times of a plain request: all of its schedule, or those from the picture's on."""
    times = tuple(float(t) for t in time_grid(request.steps, request.shift, request.schedule))
    return times_from(times, request.image_strength, request.strength_as) if request.init_sha256 else times


def native_stage(request: Resolved, spec: ModelSpec, *, needs: tuple[str, ...] = ()) -> FlowStage:
    """The one run of the solver that a plain request is."""
    sigmas = native_sigmas(request)
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
        needs=needs,
        flops=calls * spec.network.flops(tokens, text_tokens(request, spec)),
    )
