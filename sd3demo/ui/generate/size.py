"""The size of a picture by its shape, and the shift that goes with a size."""

from collections.abc import Mapping

from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.ui.controls.build import Value

SHAPES: Mapping[str, tuple[int, int]] = {
    "1:1": (1, 1), "3:2": (3, 2), "2:3": (2, 3), "16:9": (16, 9), "9:16": (9, 16)
}  # fmt: skip
"""Aspect ratios, width to height."""


def size_of_shape(shape: str, spec: ModelSpec) -> tuple[int, int]:
    """Width and height of an aspect ratio with about as many pixels as the model was trained on."""
    across, down = SHAPES[shape]
    unit = spec.native / (across * down) ** 0.5
    multiple, longest = spec.latent.multiple, spec.can.max_side
    width, height = (
        min(max(round(side * unit / multiple), 1) * multiple, longest) for side in (across, down)
    )
    return width, height


def recommended_shift(spec: ModelSpec, width: Value | None, height: Value | None) -> float:
    """The model's own shift times sqrt(pixels / native pixels), SD3's eq. 23. Raises Refusal for no size."""
    if width is None or height is None:
        raise Refusal(f"{'width' if width is None else 'height'} is empty; give a number of pixels")
    asked = {"prompt": "-", "model": spec.name, "width": width, "height": height, "shift": "auto"}
    return round(resolve(parse(Request, asked), spec, Budget()).shift, 2)


def recommendation(spec: ModelSpec, width: Value | None, height: Value | None) -> str:
    """The words on the button that takes it."""
    return f"Set shift to the recommended {recommended_shift(spec, width, height):g}"
