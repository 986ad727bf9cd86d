"""The sizes of an extrapolation: the finished picture's, the native one's and those on the way. Pure.

All sides divide by the model's multiple; the native picture has the proportions of the large one exactly
where whole sides allow it.
"""

import math
from dataclasses import dataclass

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.input_image import InputImage
from sd3demo.engine.plan.resolve import near_native
from sd3demo.errors import Refusal
from sd3demo.settings.extrapolation import CASCADES, Extrapolation, ResolvedExtrapolation

LARGEST = 8192  # px, of any side: that of settings.Side
DEFAULT_SCALE = 2.0
APART = 1.25  # how far the native area may be from the model's own before proportions give way

Size = tuple[int, int]


@dataclass(frozen=True)
class Sizes:
    """(width, height) of the native picture and of each larger stage, the target last."""

    native: Size
    larger: tuple[Size, ...]
    exact: bool
    """Whether the native picture has the target's proportions."""

    @property
    def target(self) -> Size:
        return self.larger[-1]

    @property
    def scale(self) -> float:
        """s = sqrt(L_large / L_native): of the areas, so that it is right where proportions are not kept."""
        return scale_of(self.native, self.target)


def scale_of(small: Size, large: Size) -> float:
    """How many times larger the sides are, by the areas."""
    return math.sqrt(math.prod(large) / math.prod(small))


def sizes_of(request: Extrapolation, spec: ModelSpec, own: InputImage | None = None) -> Sizes:
    """All sizes of a run. Raises Refusal, with what would work, for a size that cannot be.

    Where no size is asked for, the picture has the proportions of one's own, else it is square.
    """
    unit = spec.latent.multiple
    if isinstance(request, ResolvedExtrapolation):
        native, target = (request.native_width, request.native_height), (request.width, request.height)
        exact = native[0] * target[1] == native[1] * target[0]
        return Sizes(native, _cascade(request.cascade, native, target, unit), exact)
    asked = (request.width or request.height, request.height or request.width)
    if asked[0] is None or asked[1] is None:
        scale = request.scale or DEFAULT_SCALE
        native = (spec.native, spec.native) if own is None else near_native((own.width, own.height), spec)
        target, exact = _enlarged(native, scale, unit), True
    else:
        target = (asked[0], asked[1])
        for name, side in zip(("width", "height"), target, strict=True):
            _check_side(name, side, unit)
        if request.scale is None:
            native, exact = _native_for(target, spec)
        else:
            native, exact = _shrunk(target, request.scale, unit), True
    if min(target[0] - native[0], target[1] - native[1]) < 0:
        raise Refusal(
            f"the target {target[0]} x {target[1]} is smaller than the native {native[0]} x {native[1]}; "
            "give a scale of 1 or more, or generate it directly"
        )
    return Sizes(native, _cascade(request.cascade, native, target, unit), exact)


def _check_side(name: str, side: int, unit: int) -> None:
    if side % unit or side > LARGEST:
        nearest = min(max(round(side / unit), 1) * unit, LARGEST // unit * unit)
        raise Refusal(f"{name} is {side}; sides must divide by {unit}, up to {LARGEST} px: try {nearest}")


def _enlarged(native: Size, scale: float, unit: int, what: str = "scale") -> Size:
    """Each side times the scale."""
    sides = []
    for side in native:
        exact = side * scale
        if abs(exact - round(exact)) > 1e-6 or round(exact) % unit:
            better = max(round(exact / unit), -(-side // unit)) * unit
            raise Refusal(
                f"{what} is {scale:g}, which makes {side} px into {exact:g}; sides must divide by {unit}: "
                f"try {better / side:.6g}, which makes {better}"
            )
        if exact > LARGEST:
            raise Refusal(
                f"{what} is {scale:g}, which makes {side} px into {exact:g}; sides go up to {LARGEST} px: "
                f"try {LARGEST / side:.3g}"
            )
        sides.append(round(exact))
    return sides[0], sides[1]


def _shrunk(target: Size, scale: float, unit: int) -> Size:
    """Each side divided by the scale."""
    sides = []
    for name, side in zip(("width", "height"), target, strict=True):
        exact = side / scale
        if abs(exact - round(exact)) > 1e-6 or round(exact) % unit:
            better = max(round(exact / unit), 1) * unit
            raise Refusal(
                f"{name} is {side} and scale {scale:g}, which asks for a native side of {exact:g}; it must "
                f"divide by {unit}: try scale {side / better:.6g}, or leave scale out"
            )
        sides.append(round(exact))
    return sides[0], sides[1]


def _native_for(target: Size, spec: ModelSpec) -> tuple[Size, bool]:
    """The native size nearest to the model's own area, of the target's proportions if there is one."""
    unit, area = spec.latent.multiple, spec.native**2
    columns, rows = (side // unit for side in target)
    common = math.gcd(columns, rows)
    step = (columns // common * unit, rows // common * unit)  # the smallest size of these proportions

    def apart(size: Size) -> float:
        return abs(math.log(math.prod(size) / area))

    best = min(((step[0] * k, step[1] * k) for k in range(1, common + 1)), key=apart)
    if apart(best) <= 2 * math.log(APART):
        return best, True
    if math.prod(target) <= area:
        return target, True
    return near_native(target, spec), False


def _cascade(cascade: str, native: Size, target: Size, unit: int) -> tuple[Size, ...]:
    """The sizes on the way, the target last."""
    whole = scale_of(native, target)
    if cascade == CASCADES[0]:
        return (target,)
    if cascade == CASCADES[1]:
        doublings = [2.0**k for k in range(1, math.ceil(math.log2(whole) - 1e-9))]
        scales = [*doublings, whole]
    else:
        scales = [float(part) for part in cascade.split(",")]
        if abs(scales[-1] - whole) > 1e-3 * whole:
            raise Refusal(
                f"cascade is {cascade}, which ends at {scales[-1]:g} times the native size and not at the "
                f"target's {whole:.6g}; let it end there, or use {' or '.join(CASCADES)}"
            )
    between = [_enlarged(native, scale, unit, "a scale of the cascade") for scale in scales[:-1]]
    return (*between, target)
