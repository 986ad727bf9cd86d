"""The exact field of the flow lab: a point and a time are chosen, and the lines through it answer at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Annotated, Literal

import gradio as gr
from pydantic import Field

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, Time, parse
from sd3demo.ui.controls.build import Control, control
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import drawn, frame, savable
from sd3demo.ui.run.wiring import at_once

if TYPE_CHECKING:
    from gradio.components.plot import PlotData

    from sd3demo.flow.exact import Gaussian, Mixture
    from sd3demo.plots.chart import Chart, Numbers

TEXT = text_file("plane")
Coordinate = Annotated[float, Field(ge=-3, le=3)]
PLOTS = ("field", "loss-parts")


CLICKED = "() => [window.sd3demo.point()]"


class FieldSettings(Settings):
    """Which exact flow is looked at, where and when."""

    field_data: Literal["clusters", "normal"] = Field("clusters", description="Data with an exact field.")
    field_t: Time = Field(0.6, description="0 is data, 1 is noise.")
    field_x: Coordinate = Field(0.5, description="Of the point z; or click the plot.")
    field_y: Coordinate = Field(0.2, description="Of the point z; or click the plot.")


NAMES = tuple(FieldSettings.model_fields)


def build(values: Mapping[str, object]) -> dict[str, Control]:
    """The section of the tab; its controls by name."""
    with gr.Row(elem_id="field", elem_classes="lesson fold"):
        with gr.Column(elem_classes="knobs", min_width=260):
            controls = [control(name, values[name], kind=FieldSettings, place="field") for name in NAMES]
            said = gr.HTML(elem_id="field-said")
            section(TEXT, "Field")
        with gr.Row(elem_classes="views"):
            given = [values[name] for name in NAMES]
            said.value, plot = figures_and_field(*given)
            frames = [frame(PLOTS[0], plot), frame(PLOTS[1], parts(given[0]))]
    point = gr.Textbox(visible="hidden")
    button = gr.Button("Move z", visible="hidden", elem_id="field-move")  # pressed by field.js
    moved = [one.change for one in controls]
    at_once(moved, figures_and_field, controls, [said, frames[0].plot], raw=True)
    at_once([controls[0].change], parts, controls[:1], [frames[1].plot], raw=True)
    at_once([button.click], point_of, [point], controls[2:], js=CLICKED, raw=True)
    savable(frames, chart, controls)
    return dict(zip(NAMES, controls, strict=True))


def figures_and_field(*values: object) -> tuple[str, PlotData]:
    """What is said of a point, and the field round it."""
    settings = parse(FieldSettings, dict(zip(NAMES, values, strict=True)))
    return said_of(settings), drawn(_chart("field", settings))


def parts(data: object) -> PlotData:
    """The loss of the data's exact flow in its two parts."""
    return drawn(_chart("loss-parts", parse(FieldSettings, {"field_data": data})))


def chart(name: str, *values: object) -> Chart:
    """A chart for its CSV."""
    return _chart(name, parse(FieldSettings, dict(zip(NAMES, values, strict=True))))


def point_of(text: object) -> list[float]:
    """The coordinates that a click wrote, `x,y`, kept within the plot. Raises Refusal for any other text."""
    try:
        x, y = (float(part) for part in str(text).split(","))
        return [parse(FieldSettings, {"field_x": round(one, 3)}).field_x for one in (x, y)]
    except ValueError as error:
        raise Refusal(f"the point is {text!r}; give two coordinates such as 0.5,0.2") from error


def said_of(settings: FieldSettings) -> str:
    """The velocity at the point, and how much of the loss there no network can take away."""
    import torch

    from sd3demo.flow.posterior_lines import posterior_lines

    z = torch.tensor([settings.field_x, settings.field_y], dtype=torch.float64)
    lines = posterior_lines(_data(settings), z, settings.field_t)
    likely = f"{100 * float(lines.shares.max()):.0f}%"
    v = ", ".join(f"{float(one):.2f}" for one in lines.velocity)
    rows = {
        "v": (f"({v})", "mean of ε − x₀ over the lines"),
        "Variance": (f"{lines.variance:.2f}", "of ε − x₀ there: the loss of the best answer"),
        "Likeliest": (likely, f"of {len(lines.shares)} parts of the data"),
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    return f'<dl class="figures">{items}</dl>'


def _data(settings: FieldSettings) -> Mixture | Gaussian:
    from sd3demo.training.toy_data import EXACT

    return EXACT[settings.field_data]


def _chart(name: str, settings: FieldSettings) -> Chart:
    from sd3demo.plots import exact_field

    if name == "loss-parts":
        return exact_field.loss_parts(*_irreducible(settings.field_data))
    return exact_field.field(_data(settings), (settings.field_x, settings.field_y), settings.field_t)


@cache
def _irreducible(name: str) -> tuple[Numbers, Numbers]:
    """Levels of t and what of the loss cannot be learned there; of the data alone, so counted once."""
    import numpy as np

    from sd3demo.training.loss_split import split_loss
    from sd3demo.training.toy_data import EXACT

    split = split_loss(EXACT[name].velocity, EXACT[name], PART_LEVELS)
    return np.array(split.levels), np.array(split.irreducible)


PART_LEVELS = (0.02, *(k / 16 for k in range(1, 17)))
