"""Settings to controls and back: kinds, bounds, choices and help all come from the fields of the settings.

The controls check nothing: what they hold goes to `settings.parse`, whose sentence a person then reads.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import gradio as gr

from sd3demo.catalogue import CATALOGUE, ModelSpec, find, how_to_get, locate
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, bounds_of, choices_of, is_whole, parse
from sd3demo.ui.controls.labels import face, typeset

Value: TypeAlias = str | int | float
Control: TypeAlias = gr.Slider | gr.Number | gr.Radio | gr.Dropdown | gr.Textbox

TYPED_ABOVE = 10_000
"""A range wider than this is typed and not dragged."""
FEW = 4
"""Up to so many choices stand side by side."""
SHAPES: Mapping[str, tuple[int, int]] = {
    "1:1": (1, 1), "3:2": (3, 2), "2:3": (2, 3), "16:9": (16, 9), "9:16": (9, 16)
}  # fmt: skip
"""Aspect ratios, width to height."""


def opening(spec: ModelSpec) -> dict[str, Value]:
    """What every control holds at first: the defaults, the model's own where the settings leave them open."""
    plain = parse(Request, {"prompt": "-", "model": spec.name})
    resolved = resolve(plain, spec, Budget())
    values = {
        name: getattr(resolved, name) if getattr(plain, name) is None else getattr(plain, name)
        for name in Request.model_fields
    }
    return values | {"prompt": ""}


def held(request: Request, spec: ModelSpec) -> dict[str, Value]:
    """What every control holds for a request."""
    given = {name: getattr(request, name) for name in Request.model_fields}
    return opening(spec) | {name: value for name, value in given.items() if value is not None}


def control(name: str, value: Value, spec: ModelSpec, reason: str = "", *, place: str = "set") -> Control:
    """The control of one setting; a reason greys it out and stands in place of its help.

    `place` begins its name on the page, where several tabs have such controls.
    """
    field, looks = Request.model_fields[name], face(name)
    title, info, id, live = looks.title, reason or help_of(name), f"{place}-{name}", not reason
    names = choices_of(field)
    choices = [(looks.names.get(choice, choice), choice) for choice in names]
    if is_dragged(name, value, spec):
        low, high = ends(name, value, spec)
        return gr.Slider(
            low, high, number(value), step=step_of(name, spec), label=title, info=info, elem_id=id,
            interactive=live, buttons=[],
        )  # fmt: skip
    if bounds_of(field):
        return gr.Number(
            number(value), precision=0, label=title, info=info, elem_id=id, interactive=live
        )  # fmt: skip
    if 0 < len(names) <= FEW:
        return gr.Radio(choices, value=value, label=title, info=info, elem_id=id, interactive=live)
    if names:
        return gr.Dropdown(choices, value=value, label=title, info=info, elem_id=id, interactive=live)
    return textbox(name, reason, place=place)


def filled(name: str, value: Value, spec: ModelSpec) -> dict[str, object]:
    """A control's update to a value, with the ends that it needs for it."""
    update: dict[str, object] = {"__type__": "update", "value": value}
    if is_dragged(name, value, spec):
        low, high = ends(name, value, spec)
        update |= {"minimum": low, "maximum": high, "step": step_of(name, spec)}
    return update


def textbox(name: str, reason: str = "", *, place: str = "set") -> gr.Textbox:
    """The control of a setting that is a text, empty."""
    return gr.Textbox(
        "",
        max_lines=4,
        placeholder=face(name).hint,
        label=face(name).title,
        info=reason or help_of(name),
        elem_id=f"{place}-{name}",
        interactive=not reason,
    )


def lines_of(name: str) -> str:
    """A line on each choice of a setting whose choices need one, as HTML."""
    looks = face(name)
    lines = ((looks.names.get(choice, choice), line) for choice, line in looks.lines.items())
    return "".join(f"<p><b>{title}</b>: {line}</p>" for title, line in lines)


def model_control(models: Sequence[str]) -> gr.Dropdown:
    """The choice of a model; one that is not on this disk says so."""
    choices = [(model_title(find(name)), name) for name in models]
    about = about_model(find(models[0]))
    return gr.Dropdown(choices, value=models[0], label=face("model").title, info=about, elem_id="set-model")


def ends(name: str, value: Value, spec: ModelSpec) -> tuple[float, float]:
    """The ends of a setting's control: the usual range, its value, and what the model holds."""
    bounds = bounds_of(Request.model_fields[name])
    if bounds is None:
        return 0, 0
    if name in ("width", "height"):
        return spec.latent.multiple, min(spec.can.max_side, bounds[1])
    if name == "max_sequence_length":
        return bounds[0], min(spec.encoders[-1].limit, bounds[1])
    low, high = face(name).usual if face(name).usual[1] else bounds
    return (low, high) if isinstance(value, str) else (min(low, value), max(high, value))


def is_dragged(name: str, value: Value, spec: ModelSpec) -> bool:
    """Whether a setting is a number on a slider; a very wide range is typed instead."""
    low, high = ends(name, value, spec)
    return 0 < high - low <= TYPED_ABOVE


def step_of(name: str, spec: ModelSpec) -> float:
    """Whole settings move by one; the sides of a picture by what the model divides them by."""
    if name in ("width", "height"):
        return spec.latent.multiple
    return face(name).step or (1 if is_whole(Request.model_fields[name]) else 0.1)


def number(value: Value) -> float:
    """A value that is known to be a number."""
    if isinstance(value, str):
        raise TypeError(f"{value!r} is not a number")
    return value


def help_of(name: str) -> str:
    """A setting's own sentence, its equations set."""
    return typeset(Request.model_fields[name].description or "")


def dormant(values: Mapping[str, object], spec: ModelSpec) -> dict[str, str]:
    """The settings that change nothing with these others and this model, each with the reason."""
    reasons: dict[str, str] = {}
    if values.get("cfg") == 1:
        off = "Guidance is off at scale 1, so this changes nothing."
        reasons |= dict.fromkeys(("negative", "cfg_from", "cfg_to"), off)
    if values.get("clip_g") != "on":
        reasons["prompt_2"] = "CLIP-G's place holds zeros, so its text is not read."
    if values.get("t5") != "on":
        reasons["prompt_3"] = "T5 does not read the prompt now, so a text of its own changes nothing."
    if values.get("t5") == "omit":
        reasons["max_sequence_length"] = "T5's tokens are left out, so their number changes nothing."
    if spec.components and not spec.has("t5"):
        missing = f"{model_title(spec)} comes without T5; zeros stand in its place."
        reasons |= dict.fromkeys(("t5", "prompt_3"), missing)
    if values.get("schedule") == "linear":
        reasons["shift"] = "The linear schedule is never shifted."
    return reasons


def shaped(shape: str, spec: ModelSpec) -> tuple[int, int]:
    """Width and height of an aspect ratio with about as many pixels as the model was trained on."""
    across, down = SHAPES[shape]
    unit = spec.native / (across * down) ** 0.5
    multiple = spec.latent.multiple
    sides = (max(round(side * unit / multiple), 1) * multiple for side in (across, down))
    width, height = (min(side, spec.can.max_side) for side in sides)
    return width, height


def suggested_shift(spec: ModelSpec, width: Value | None, height: Value | None) -> float:
    """The model's own shift times sqrt(pixels / native pixels), SD3's eq. 23. Raises Refusal for no size."""
    if width is None or height is None:
        raise Refusal(f"{'width' if width is None else 'height'} is empty; give a number of pixels")
    asked = {"prompt": "-", "model": spec.name, "width": width, "height": height, "shift": "auto"}
    return round(resolve(parse(Request, asked), spec, Budget()).shift, 2)


def suggestion(spec: ModelSpec, width: Value | None, height: Value | None) -> str:
    """The words on the button that takes it."""
    return f"Use {suggested_shift(spec, width, height):g}, which eq. 23 gives for {width} × {height}"


def model_title(spec: ModelSpec) -> str:
    """A model's name for people: a folder's last part."""
    name = spec.name if spec.name in CATALOGUE else Path(spec.name).name
    return name if is_here(spec) else f"{name} (not on this disk)"


def about_model(spec: ModelSpec) -> str:
    """A model in one line, or what to do to get it."""
    facts = f"{spec.native} × {spec.native} px, depth {spec.network.depth}, {spec.licence}."
    line = f"{facts} {spec.note}".strip()
    return line if is_here(spec) else f"{line} {how_to_get(spec)}."


def is_here(spec: ModelSpec) -> bool:
    try:
        locate(spec)
    except Refusal:
        return False
    return True
