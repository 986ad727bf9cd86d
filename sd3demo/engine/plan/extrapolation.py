"""An extrapolation as stages: native -> lift -> larger, and on to the next size of a cascade. Pure, no torch.

Everything that can be refused is refused here, with what would work.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.image_header import PictureLimits
from sd3demo.engine.init_picture import InitPicture, check_init, init_size, read_init
from sd3demo.engine.input_image import READ, InputImage
from sd3demo.engine.plan.costs import decoder_scale, encoder_flops, text_tokens
from sd3demo.engine.plan.memory import Budget
from sd3demo.engine.plan.resolve import (
    NATIVE,
    asked_branches,
    embedded_scale,
    guidance_of,
    init_notes,
    native_stages,
    resolve,
    with_init,
)
from sd3demo.engine.plan.sizes import Size, Sizes, scale_of, sizes_of
from sd3demo.engine.plan.stages import Arm, FlowStage, GivenStage, LiftStage, ResampleStage, Stage
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS, native_time
from sd3demo.flow.extrapolation.tuning import BASES, Toolkit, attention_scale, grid_copies
from sd3demo.flow.grids import time_grid
from sd3demo.flow.solvers import SOLVERS, At
from sd3demo.settings import Request, Resolved, parse, skipped_layers
from sd3demo.settings.extrapolation import Extrapolation, ResolvedExtrapolation, lacking, native_of

RESHIFTS: Mapping[str, float | None] = {"auto": None, "1.5s": 1.5}
"""Reshifts by name as multiples of the scale; None is the family's own rule."""


def resolve_large(
    request: Extrapolation, native: Resolved, sizes: Sizes, spec: ModelSpec
) -> ResolvedExtrapolation:
    """The request with nothing left open. Raises Refusal for what its method or its positions cannot do."""
    _check_capabilities(request, spec)
    method, scale = METHODS[request.method], sizes.scale
    positions = method.positions or request.positions
    if method.flows and positions == "extend" and max(sizes.target) > spec.can.max_side:
        raise Refusal(
            f"positions is extend, which serves sides up to {spec.can.max_side} px with {spec.name}'s table, "
            f"and {max(sizes.target)} is asked for: try interpolate or scheduled"
        )
    if method.solvers and request.solver not in method.solvers:
        raise Refusal(
            f"solver is {request.solver}; the method {request.method} sets the latent before each step and "
            f"can be integrated by {' or '.join(method.solvers)} alone"
        )
    if "native-network" in method.needs:
        _check_whole(request.method, sizes)
    if request.method == "super-resolution" or (method.one_call and request.upscaler):
        _check_upscaler(request)
    chosen = {
        "width": sizes.target[0],
        "height": sizes.target[1],
        "native_width": sizes.native[0],
        "native_height": sizes.native[1],
        "scale": scale,
        "positions": positions,
        "start": (request.start or method.start) if _has_guide(request) else 1.0,
        "large_steps": request.large_steps or native.steps,
    }
    if method.one_call:
        chosen |= {"start": request.refine_start, "large_steps": 1, "tail": 0, "lift": method.lift}
    return parse(ResolvedExtrapolation, request.model_dump() | native.model_dump() | chosen)


def _check_capabilities(request: Extrapolation, spec: ModelSpec) -> None:
    """Raises Refusal for a change of the network that the model's family does not have."""
    for name, (neutral, reason) in lacking(spec).items():
        if (given := getattr(request, name)) != neutral:
            raise Refusal(
                f"{name} is {given}, which means nothing for {spec.name}: {reason}; leave it at {neutral}"
            )
    if request.copies_at == "grid" and request.text_copies != "auto":
        raise Refusal(
            f"copies_at is grid and text_copies is {request.text_copies:g}; a grid has one copy in each "
            "native window that fits, so text_copies must be auto"
        )


def _has_guide(request: Extrapolation) -> bool:
    """Whether there is a guide to start from: projected flow that is switched off is the direct run."""
    off = request.method == "projected" and request.strength == "off"
    return "guide" in METHODS[request.method].needs and not off


def _check_whole(method: str, sizes: Sizes) -> None:
    small, large = sizes.native, sizes.target
    if any(b % a for a, b in zip(small, large, strict=True)) or large[0] * small[1] != large[1] * small[0]:
        raise Refusal(
            f"method is {method}, which needs a whole scale; {large[0]} x {large[1]} is {sizes.scale:.6g} "
            f"times {small[0]} x {small[1]}: try a scale of 2, 3 or 4"
        )


def _check_upscaler(request: Extrapolation) -> None:
    file = request.upscaler
    if not file:
        raise Refusal("upscaler is missing; give a super-resolution model's file, such as a Real-ESRGAN .pth")
    if not Path(file).is_file():
        raise Refusal(f"upscaler is {file}, which is no file; give one that a super-resolution model is in")
    if find_spec("spandrel") is None:
        raise Refusal(
            f"method is {request.method} with a super-resolution model's file, which needs the library "
            "spandrel: run `pip install 'sd3demo[sr]'`, or try upsample"
        )


def toolkit_of(request: ResolvedExtrapolation, size: Size, spec: ModelSpec) -> Toolkit:
    """What is turned on the network at a size on the way or at the target."""
    native = (request.native_width, request.native_height)
    scale = scale_of(native, size)
    text = text_tokens(request, spec)
    small, large = spec.latent.shape(*native)[1:], spec.latent.shape(*size)[1:]
    copies = scale**2 if request.text_copies == "auto" else request.text_copies
    if request.copies_at == "grid":
        copies = float(math.prod(grid_copies(large, small)))
    beside = text if spec.can.joint_text else 0
    keys = spec.latent.tokens(*size) + copies * beside
    return Toolkit(
        positions=request.positions,
        native=small,
        attention_scale=attention_scale(request.attention, spec.latent.tokens(*native) + beside, keys, scale),
        text_copies=copies,
        half_patch=request.half_patch,
        ntk=BASES.get(request.positions, 1.0) if request.rope_base == "auto" else request.rope_base / scale,
        copies_at=request.copies_at,
        aligned_steps=METHODS[request.method].aligned_steps,
    )


def further_bundlings(toolkit: Toolkit, size: Size, spec: ModelSpec, at: At) -> int:
    """How many bundlings of positions a call is averaged over in a step, beyond one."""
    patch = spec.latent.patch
    down, across = (side // patch for side in spec.latent.shape(*size)[1:])
    return max(len(toolkit.bundlings((down, across), patch, at)) - 1, 0)


def larger_stages(arm: str, request: ResolvedExtrapolation, sizes: Sizes, spec: ModelSpec) -> Iterator[Stage]:
    """The stages of one arm beyond the native one, in their order; the last one has the arm's name."""
    method = METHODS[request.method]
    if not method.flows:
        upscaler = request.upscaler if request.method == "super-resolution" else ""
        yield ResampleStage(arm, *sizes.target, needs=(NATIVE,), resampling=request.lift, upscaler=upscaler)
        return
    before, small = NATIVE, sizes.native
    for size in sizes.larger if "guide" in method.needs else (sizes.target,):
        needs: tuple[str, ...] = ()
        if "guide" in method.needs:
            lift = _lift(before, size, request, spec)
            yield lift
            needs = (lift.key,)
        if "trajectory" in method.needs:
            needs = (*needs, before)
        key = arm if size == sizes.target else f"{arm} {size[0]} x {size[1]}"
        yield _flow(key, size, scale_of(small, size), needs, request, spec)
        before, small = key, size


def _lift(before: str, size: Size, request: ResolvedExtrapolation, spec: ModelSpec) -> LiftStage:
    upscaler = request.upscaler if METHODS[request.method].one_call else ""
    by = f"{upscaler}, " if upscaler else ""
    return LiftStage(
        key=f"lift of {before} to {size[0]} x {size[1]}, {by}{request.lift}, {request.posterior}",
        width=size[0],
        height=size[1],
        needs=(before,),
        resampling=request.lift,
        posterior=request.posterior,
        upscaler=upscaler,
        flops=encoder_flops(math.prod(size)) * decoder_scale(spec),
    )


def _flow(
    key: str,
    size: Size,
    scale: float,
    needs: tuple[str, ...],
    request: ResolvedExtrapolation,
    spec: ModelSpec,
) -> FlowStage:
    """The solver's run at one size, `scale` times the one that it starts from."""
    native = (request.native_width, request.native_height)
    sigmas = grid_from(request, _shift(request, scale_of(native, size), spec))
    guidance = guidance_of(request, sigmas)
    visits = SOLVERS[request.solver].visits(sigmas)
    calls = sum(len(guidance.wanted(at)) for at in visits)
    branches, text = asked_branches(guidance, visits), text_tokens(request, spec)
    toolkit, large_guidance = toolkit_of(request, size, spec), request.large_guidance
    image, all_text = spec.latent.tokens(*size), toolkit.text_repeats * text
    again = sum(len(guidance.wanted(at)) * further_bundlings(toolkit, size, spec, at) for at in visits)
    flops = calls * spec.network.flops(image, all_text)
    flops += again * spec.network.alignment_flops(image, all_text)
    native_visits: tuple[float, ...] = ()
    if "native-network" in METHODS[request.method].needs:
        asked = [replace(at, t=native_time(at.t, round(scale))) for at in visits]
        beside = sum(len(guidance.wanted(at)) for at in asked)
        native_visits = tuple(at.t for at in asked)
        flops += beside * spec.network.flops(spec.latent.tokens(*native), text)
        calls += beside
        branches = asked_branches(guidance, (*visits, *asked))
    return FlowStage(
        key=key,
        width=size[0],
        height=size[1],
        sigmas=sigmas,
        visits=tuple(at.t for at in visits),
        calls=calls,
        branches=branches,
        guidance=guidance,
        skip_layers=skipped_layers(request.skip_layers),
        embedded=embedded_scale(request.guidance if large_guidance == "auto" else large_guidance),
        native_embedded=embedded_scale(request.guidance),
        solver=request.solver,
        needs=needs,
        request=request,
        scale=scale,
        toolkit=toolkit,
        native_visits=native_visits,
        flops=flops,
    )


def _shift(request: ResolvedExtrapolation, scale: float, spec: ModelSpec) -> float:
    """The shift of a larger stage: a multiple of the native one's, or by the rule of the family."""
    if isinstance(request.reshift, str):
        return spec.shift.larger(request.shift, scale, RESHIFTS[request.reshift])
    return request.shift * request.reshift


def grid_from(request: ResolvedExtrapolation, shift: float) -> tuple[float, ...]:
    """The times of a larger stage: the convention's below the start, and a tail that halves the last one."""
    if METHODS[request.method].one_call:
        return (request.start, 0.0)
    times = [float(t) for t in time_grid(request.large_steps, shift, request.schedule)]
    times = [request.start, *(t for t in times if t < request.start - 1e-9)]
    tail = [times[-2] / 2**k for k in range(1, request.tail + 1)]
    return (*times[:-1], *tail, times[-1])


@dataclass(frozen=True)
class Arms:
    """The stages of all arms, each equal one once, the arms, and what should be said of them."""

    stages: tuple[Stage, ...]
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]
    init: InitPicture | None
    """The picture that the native stage starts from."""


def arms_of(
    asked: Mapping[str, Extrapolation],
    spec: ModelSpec,
    budget: Budget,
    own: InputImage | None = None,
    init: InitPicture | None = None,
    limits: PictureLimits = READ,
) -> Arms:
    """What a comparison of these extrapolations is made of. Raises Refusal for what cannot be."""
    stages: dict[str, Stage] = {}
    arms: list[Arm] = []
    notes: dict[str, None] = {}
    for name, request in asked.items():
        if name == NATIVE:
            raise Refusal(
                f"an arm is named {NATIVE!r}, which is the native picture's own name; choose another"
            )
        size = None if init else init_size(request, limits)
        if size and own is not None:
            raise Refusal(
                "init is given beside a picture of one's own, which stands in place of the native stage; "
                "leave one of them out"
            )
        sizes = sizes_of(request, spec, own if size is None else InputImage("", *size))
        width, height = sizes.native
        native = resolve(
            Request.model_validate(
                {field: getattr(request, field) for field in Request.model_fields}
                | {"width": width, "height": height}
            ),
            spec,
            budget,
        )
        init = init or read_init(request, width, height, limits)
        check_init(request, init)
        native = with_init(native, init)
        resolved = resolve_large(request, native, sizes, spec)
        if own is not None:
            resolved = resolved.model_copy(update={"own_picture": own.sha256})
        if resolved.own_picture and "trajectory" in METHODS[resolved.method].needs:
            raise Refusal(
                f"method is {resolved.method}, which follows the native run step by step, and a picture of "
                "one's own has none: try projected, sdedit or skip-residual"
            )
        if not arms:
            given = GivenStage(NATIVE, width, height)
            first = (given,) if resolved.own_picture else native_stages(native, spec)
            stages |= {stage.key: stage for stage in first}
            notes |= dict.fromkeys(init_notes(native, init))
            arms.append(Arm(NATIVE, NATIVE, native))
        elif native_of(resolved) != arms[0].request:
            raise Refusal(
                f"the arm {name!r} has another native picture than the others; arms may differ in how the "
                "picture is made larger, and have the prompt, the seed and the native stage in common"
            )
        stages |= {stage.key: stage for stage in larger_stages(name, resolved, sizes, spec)}
        arms.append(Arm(name, name, resolved))
        notes |= dict.fromkeys(_notes(resolved, sizes))
    return Arms(tuple(stages.values()), tuple(arms), tuple(notes), init)


def _notes(request: ResolvedExtrapolation, sizes: Sizes) -> Iterator[str]:
    if sizes.target == sizes.native:
        width, height = sizes.native
        yield (
            f"the target is the native size, {width} x {height}, so {request.method} enlarges nothing; "
            "give a larger scale"
        )
    if METHODS[request.method].one_call and not request.upscaler:
        yield (
            f"{request.method} enlarges by {request.lift.capitalize()} here, since no super-resolution "
            "network ships; upscaler names the file of one"
        )
    if not sizes.exact:
        (width, height), (large, tall) = sizes.native, sizes.target
        yield (
            f"the native picture is {width} x {height}, which has not quite the proportions of {large} x "
            f"{tall}: the guide is stretched a little"
        )
