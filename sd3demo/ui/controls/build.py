"""The one builder of controls: kind, bounds, choices and help come from a setting's field, as for flags.

The controls check nothing: what they hold goes to `settings.parse`, whose sentence a person then reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import gradio as gr

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.settings import FILES, Request, Settings, bounds_of, is_whole, parse
from sd3demo.ui.controls.labels import choice_titles, help_of, label
from sd3demo.ui.controls.model_choice import model_title

Value: TypeAlias = str | int | float
Control: TypeAlias = (
    gr.Slider | gr.Number | gr.Radio | gr.Dropdown | gr.Textbox | gr.Checkbox | gr.CheckboxGroup
)

TYPED_ABOVE = 10_000
"""A range wider than this is typed and not dragged."""
FEW = 4
"""Up to so many choices stand side by side."""
SIDES = ("width", "height")


def opening(spec: ModelSpec, kind: type[Request] = Request) -> dict[str, Value]:
    """What the controls of a request hold at first: its defaults, else the model's own."""
    plain = parse(kind, {"prompt": "-", "model": spec.name})
    resolved = resolve(plain, spec, Budget())
    values: dict[str, Any] = {
        name: getattr(resolved, name, None) if getattr(plain, name) is None else getattr(plain, name)
        for name in kind.model_fields
        if name not in FILES  # which are uploaded, and no control holds
    }
    return values | {"prompt": ""}


def opening_of(kind: type[Settings], models: Sequence[str]) -> dict[str, Value]:
    """The same for any settings; `models` are on offer, the first of them chosen."""
    own = opening(find(models[0]))
    values = {name: field.get_default() for name, field in kind.model_fields.items()}
    left_open = {name: own[name] for name, value in values.items() if value is None}
    return values | left_open | ({"model": models[0]} if "model" in values else {})


def values_of(request: Request, spec: ModelSpec, kind: type[Request] = Request) -> dict[str, Value]:
    """What the controls hold for a request."""
    given = {name: getattr(request, name, None) for name in kind.model_fields if name not in FILES}
    return opening(spec, kind) | {name: value for name, value in given.items() if value is not None}


def control(
    name: str,
    value: Any,
    *,
    kind: type[Settings] = Request,
    spec: ModelSpec | None = None,
    reason: str = "",
    place: str = "set",
    elem_id: str = "",
    choices: Mapping[str, str] | None = None,
    models: Sequence[str] = (),
) -> Control:
    """Build the control of one setting; a reason greys it out and stands in place of its help.

    `spec` bounds what a model bounds. `place` begins its name on the page, where several tabs have such
    controls; `elem_id` is that name in full. `choices` are values with their titles, where the field does not
    say them; `models` are those to choose from.
    """
    field, look = kind.model_fields[name], label(name, kind)
    shared: dict[str, Any] = {
        "label": look.title,
        "info": reason or help_of(name, kind),
        "elem_id": elem_id or f"{place}-{name}",
        "interactive": not reason,
    }
    if name == "model" and models:
        offered = [(model_title(find(one)), one) for one in models]
        return gr.Dropdown(offered, value=value, **shared | {"info": None})
    if isinstance(value, bool):
        return gr.Checkbox(value, **shared)
    if isinstance(value, list | tuple):
        several = [(title, one) for one, title in choices.items()] if choices else choice_titles(name, kind)
        return gr.CheckboxGroup(several, value=[str(one) for one in value], **shared)
    if look.suggested:
        chosen = suggested_text(value)
        return gr.Dropdown(list(look.suggested), value=chosen, allow_custom_value=True, **shared)
    if is_dragged(name, value, kind=kind, spec=spec):
        low, high = slider_range(name, value, kind=kind, spec=spec)
        step = step_of(name, kind=kind, spec=spec)
        return gr.Slider(low, high, float_or_int(value), step=step, buttons=[], **shared)
    if bounds_of(field):
        return gr.Number(float_or_int(value), precision=0 if is_whole(field) else None, **shared)
    named = [(title, one) for one, title in choices.items()] if choices else choice_titles(name, kind)
    if named:
        chooser = gr.Radio if len(named) <= FEW else gr.Dropdown
        return chooser(named, value=value, **shared)
    lines = 4 if name in ("prompt", "negative", "prompt_2", "prompt_3") else 1
    return gr.Textbox(str(value), max_lines=lines, placeholder=look.hint, **shared)


def update(name: str, value: Value, spec: ModelSpec, kind: type[Settings] = Request) -> dict[str, Any]:
    """A control's update to a value, with the ends that it needs for it."""
    if label(name, kind).suggested:
        return gr.update(value=suggested_text(value))
    if not is_dragged(name, value, kind=kind, spec=spec):
        return gr.update(value=value)
    low, high = slider_range(name, value, kind=kind, spec=spec)
    step = step_of(name, kind=kind, spec=spec)
    return gr.update(value=value, minimum=low, maximum=high, step=step)


def suggested_text(value: object) -> str:
    """A value as it stands in a list of suggestions."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def slider_range(
    name: str, value: object, *, kind: type[Settings], spec: ModelSpec | None
) -> tuple[float, float]:
    """The ends of a setting's slider: the usual range, its value, and what the model holds."""
    bounds = bounds_of(kind.model_fields[name])
    if bounds is None:
        return 0, 0
    low, high = bounds
    if spec is not None and name in SIDES:
        return spec.latent.multiple, min(spec.can.max_side, high)
    if spec is not None and name == "max_sequence_length":
        return low, min(spec.encoders[-1].limit, high)
    low, high = label(name, kind).usual or bounds
    return (min(low, value), max(high, value)) if isinstance(value, int | float) else (low, high)


def is_dragged(name: str, value: object, *, kind: type[Settings], spec: ModelSpec | None) -> bool:
    """Whether a setting is a number on a slider; a very wide range is typed instead."""
    if label(name, kind).typed or not isinstance(value, int | float):
        return False
    low, high = slider_range(name, value, kind=kind, spec=spec)
    return 0 < high - low <= TYPED_ABOVE


def step_of(name: str, *, kind: type[Settings], spec: ModelSpec | None) -> float:
    """Whole settings move by one; the sides of a picture by what the model divides them by."""
    if spec is not None and name in SIDES:
        return spec.latent.multiple
    return label(name, kind).step or (1 if is_whole(kind.model_fields[name]) else 0.1)


def float_or_int(value: object) -> float:
    """A value that is known to be a number."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value
