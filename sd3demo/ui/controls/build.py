"""Controls for any settings: kind, bounds, choices and help come from the fields, as they do for flags.

The controls check nothing: what they hold goes to `settings.parse`, whose sentence a person then reads.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import gradio as gr

from sd3demo.catalogue import find
from sd3demo.settings import Request, Settings, bounds_of, choices_of, is_whole
from sd3demo.ui.controls import form
from sd3demo.ui.controls.labels import Face, face, typeset

Control: TypeAlias = gr.Slider | gr.Number | gr.Radio | gr.Dropdown | gr.Textbox

FACES: Mapping[str, Face] = {
    "n": Face("Prompts a category", usual=(1, 100)),
    "scenes": Face("Scenes", usual=(1, 100)),
    "categories": Face("Categories", hint="all"),
    "exam_seed": Face("Seed of the prompts"),
    "seed": Face("Seed of the noise"),
    "along": Face("Varied"),
    "values": Face("Its values", hint="some usual ones"),
    "models": Face("Models", hint="all depths"),
    "scales": Face("Sizes, in native sides"),
    "budgets": Face("Calls of the network"),
    "solvers": Face("Solvers"),
}
"""Titles of the settings that a request does not have."""


def title_of(name: str) -> str:
    return (FACES.get(name) or face(name)).title


def titles(kind: type[Settings]) -> dict[str, str]:
    """What each setting is called on the page, for a sentence about it."""
    return {name: title_of(name) for name in kind.model_fields}


def opening(kind: type[Settings], models: Sequence[str]) -> dict[str, form.Value]:
    """What the controls hold at first: the defaults, the model's own where the settings leave them open."""
    own = form.opening(find(models[0]))
    values = {name: field.get_default() for name, field in kind.model_fields.items()}
    left_open = {name: own[name] for name, value in values.items() if value is None}
    return values | left_open | {"model": models[0]}


def control(kind: type[Settings], name: str, value: form.Value, models: Sequence[str], id: str) -> Control:
    """The control of one setting; gradio does not see by itself that what it builds late is interactive."""
    field, looks = kind.model_fields[name], FACES.get(name) or face(name)
    title, info, names = looks.title, typeset(field.description or ""), choices_of(field)
    if name == "model":
        choices = [(form.model_title(find(one)), one) for one in models]
        return gr.Dropdown(choices, value=value, label=title, info=info, elem_id=id, interactive=True)
    bounds = bounds_of(field)
    if bounds and not isinstance(value, str):
        low, high = looks.usual if looks.usual[1] else bounds
        if name in Request.model_fields and name in ("width", "height"):
            low, high = form.ends(name, value, find(models[0]))
        if high - low > form.TYPED_ABOVE:
            return gr.Number(value, precision=0, label=title, info=info, elem_id=id, interactive=True)
        step = looks.step or (1 if is_whole(field) else 0.1)
        ends = (min(low, value), max(high, value))
        return gr.Slider(
            *ends, value, step=step, label=title, info=info, elem_id=id, interactive=True, buttons=[]
        )
    if names:
        choices = [(looks.names.get(one, one), one) for one in names]
        few = gr.Radio if len(names) <= form.FEW else gr.Dropdown
        return few(choices, value=value, label=title, info=info, elem_id=id, interactive=True)
    return gr.Textbox(
        str(value), max_lines=1, placeholder=looks.hint, label=title, info=info, elem_id=id, interactive=True
    )  # fmt: skip
