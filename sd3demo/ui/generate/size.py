"""The size of a picture by its shape, and the shift that goes with a size."""

import re

from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse, quoted
from sd3demo.ui.controls.build import Value

SHAPES = ("1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "21:9")
"""Aspect ratios to choose from, width to height; any other can be typed."""
RATIO = re.compile(r"\s*(\d{1,4}(?:\.\d{1,4})?)\s*([:/x×])\s*(\d{1,4}(?:\.\d{1,4})?)\s*")
STEEPEST = 8  # times as long as wide


def size_of_shape(shape: str, spec: ModelSpec) -> tuple[int, int]:
    """Width and height of an aspect ratio with about as many pixels as the model was trained on.

    A size such as `768 x 512` is taken as it is, but for the multiple that the model needs. Raises Refusal
    for what is neither.
    """
    match = RATIO.fullmatch(shape)
    across, down = (float(match[1]), float(match[3])) if match else (0.0, 0.0)
    if match is None or min(across, down) <= 0 or max(across, down) > STEEPEST * min(across, down):
        raise Refusal(
            f"shape is {quoted(shape)}; give a ratio up to {STEEPEST}:1 such as 21:9, or a size such as "
            "768 x 512"
        )
    unit = 1.0 if match[2] in "x×" else spec.native / (across * down) ** 0.5
    multiple, longest = spec.latent.multiple, spec.can.max_side
    width, height = (
        min(max(round(side * unit / multiple), 1) * multiple, longest) for side in (across, down)
    )
    return width, height


def shape_choices(spec: ModelSpec) -> list[tuple[str, str]]:
    """The aspect ratios with their sizes, as a list to choose from has them: titles and values."""
    return [(f"{shape} · {w} × {h}", shape) for shape in SHAPES for w, h in (size_of_shape(shape, spec),)]


def shape_of_size(spec: ModelSpec, width: int, height: int) -> str:
    """The aspect ratio whose sides these are, else the size itself."""
    size = (width, height)
    return next((shape for shape in SHAPES if size_of_shape(shape, spec) == size), f"{width} x {height}")


def recommended_shift(spec: ModelSpec, width: Value | None, height: Value | None) -> float:
    """The model's own shift times sqrt(pixels / native pixels), SD3's eq. 23. Raises Refusal for no size."""
    if width is None or height is None:
        raise Refusal(f"{'width' if width is None else 'height'} is empty; give a number of pixels")
    asked = {"prompt": "-", "model": spec.name, "width": width, "height": height, "shift": "auto"}
    return round(resolve(parse(Request, asked), spec, Budget()).shift, 2)


def recommendation(spec: ModelSpec, width: Value | None, height: Value | None) -> str:
    """The words on the button that takes it."""
    return f"Set shift to the recommended {recommended_shift(spec, width, height):g}"
