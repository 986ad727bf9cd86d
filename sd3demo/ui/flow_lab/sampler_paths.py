"""Two samplers and guidance on the exact flow of the plane, drawn at once as their settings move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import gradio as gr
from pydantic import Field

from sd3demo.settings import Settings, parse
from sd3demo.ui.controls.build import Control, control
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import drawn, frame, savable
from sd3demo.ui.run.wiring import at_once

if TYPE_CHECKING:
    from gradio.components.plot import PlotData

    from sd3demo.plots.chart import Chart

TEXT = text_file("plane")
PLOTS = ("samplers", "plane-guidance")
CONDITION = 3  # of the four clusters, the upper right one


class SamplerSettings(Settings):
    """What the samplers of the exact flow are asked."""

    sde_data: Literal["clusters", "normal"] = Field("clusters", description="Data with an exact field.")
    sde_eta: Annotated[float, Field(ge=0, le=4)] = Field(1.0, description="Noise of the SDE; 0 is the ODE.")
    plane_w: Annotated[float, Field(ge=0, le=8)] = Field(3.0, description="w; 1 is no guidance.")


NAMES = tuple(SamplerSettings.model_fields)


def build(values: Mapping[str, object]) -> dict[str, Control]:
    """The section of the tab; its controls by name."""
    with gr.Row(elem_id="samplers", elem_classes="lesson fold"):
        with gr.Column(elem_classes="knobs", min_width=260):
            section(TEXT, "Samplers")
            controls = [control(name, values[name], kind=SamplerSettings, place="samplers") for name in NAMES]
        with gr.Row(elem_classes="views"):
            given = [values[name] for name in NAMES]
            frames = [frame(PLOTS[0], samplers(*given[:2])), frame(PLOTS[1], guidance(given[2]))]
    at_once([one.change for one in controls[:2]], samplers, controls[:2], [frames[0].plot], raw=True)
    at_once([controls[2].change], guidance, controls[2:], [frames[1].plot], raw=True)
    savable(frames, chart, controls)
    return dict(zip(NAMES, controls, strict=True))


def samplers(data: object, eta: object) -> PlotData:
    """The SDE beside the ODE."""
    return drawn(_chart(PLOTS[0], {"sde_data": data, "sde_eta": eta}))


def guidance(scale: object) -> PlotData:
    """Guidance towards one cluster."""
    return drawn(_chart(PLOTS[1], {"plane_w": scale}))


def chart(name: str, *values: object) -> Chart:
    """A chart for its CSV."""
    return _chart(name, dict(zip(NAMES, values, strict=True)))


def _chart(name: str, values: Mapping[str, object]) -> Chart:
    """A chart by its name. Guidance needs several clusters, whatever the data of the samplers are."""
    from sd3demo.plots import plane_samplers
    from sd3demo.training.toy_data import CLUSTERS, EXACT

    settings = parse(SamplerSettings, values)
    if name == PLOTS[0]:
        return plane_samplers.beside_the_ode(EXACT[settings.sde_data], settings.sde_eta)
    return plane_samplers.guidance(CLUSTERS, CONDITION, settings.plane_w)
