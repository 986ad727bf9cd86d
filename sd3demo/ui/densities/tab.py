"""The Densities tab: how training time is spread, which weight that equals, and where a sampler's steps go.

From top to bottom as one would teach it; each section has its words and controls beside its plots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from sd3demo.catalogue import find
from sd3demo.settings import parse
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import Control, control
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.controls.lazy_tab import lazy_tab
from sd3demo.ui.densities import schedule_table as schedule
from sd3demo.ui.densities.settings import PRESETS, TITLES, DensitySettings, charts, eq_23, fixed, planned
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import PlotPlace, drawn, frame, savable
from sd3demo.ui.run.run_status import failed, status_html
from sd3demo.ui.run.wiring import at_once

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

TEXT = text_file("densities")


@dataclass(frozen=True)
class DensityLesson:
    """A heading of the text, the settings under it, and the plots beside it."""

    title: str
    settings: tuple[str, ...]
    plots: tuple[str, ...]


SECTIONS = (
    DensityLesson("Density", ("densities", "m", "s", "mode_s"), ("pdf", "cdf")),
    DensityLesson("Shift", ("pixels", "native", "shift"), ("shifted", "log-snr")),
    DensityLesson("Weight", (), ("weights",)),
    DensityLesson("Steps", ("steps", "schedule", "trained_shifted"), ("steps",)),
    DensityLesson("Schedule", (), ("schedule", "tail")),
    DensityLesson("Paths", (), ("paths", "path-log-snr")),
)
STILL = SECTIONS[-1].plots
MOVING = tuple(name for part in SECTIONS[:-1] for name in part.plots)

NAMES = tuple(DensitySettings.model_fields)
CHOICES: Mapping[str, Mapping[str, str]] = {"densities": {str(name): title for name, title in TITLES.items()}}


def densities(core: Core) -> None:
    """The whole tab. torch and plotly come in with its plots, and so not before somebody looks."""
    own = find(core.models[0]).defaults
    start = parse(DensitySettings, {"steps": own.steps, "schedule": own.schedule})
    lazy_tab(DensitySettings, start.model_dump(), partial(_build, core))


def _build(core: Core, values: Mapping[str, object]) -> Mapping[str, Control]:
    controls: dict[str, Control] = {}
    frames: dict[str, PlotPlace] = {}
    said, sigmas, *plots = redrawn(core, *(values[name] for name in NAMES))
    drawings = dict(zip((*MOVING, *STILL), (*plots, *fixed_plots()), strict=True))
    with gr.Column(elem_id="lab"):
        status = gr.HTML(said, elem_id="lab-status")
        for part in SECTIONS:
            with gr.Row(elem_classes="lesson" if part is SECTIONS[0] else "lesson fold"):
                with gr.Column(elem_classes="knobs", min_width=260):
                    section(TEXT, part.title)
                    for name in part.settings:
                        controls[name] = control(
                            name,
                            values[name],
                            kind=DensitySettings,
                            place="lab",
                            choices=CHOICES.get(name),
                        )
                with gr.Row(elem_classes="views"):
                    frames |= {name: frame(name, drawings[name]) for name in part.plots}
                    if part.title == "Density":
                        presets = _presets()
                    elif part.title == "Schedule":
                        listing = gr.HTML(sigmas, elem_id="sigmas")

    named: dict[str, Control] = {name: controls[name] for name in NAMES}
    inputs = [*named.values()]
    outputs = [status, listing, *(frames[name].plot for name in MOVING)]
    at_once([one.change for one in inputs], partial(redrawn, core), inputs, outputs, raw=True)
    sizes = [named["pixels"], named["native"]]
    at_once([size.input for size in sizes], shift_for, sizes, [named["shift"]], raw=True)
    at_once([presets.click], preset, [presets, named["densities"]], inputs[:4])
    savable([*frames.values()], partial(chart, core), inputs)
    return named


def redrawn(core: Core, *values: object) -> list[Any]:
    """A status, the listed times and every plot that moves; after bad input the sentence alone."""
    try:
        lab = parse(DensitySettings, dict(zip(NAMES, values, strict=True)))
        plan = planned(lab, find(core.models[0]))
        found = charts(lab, schedule.conventions(plan))
        return ["", schedule.listing(plan), *(drawn(found[name]) for name in MOVING)]
    except Exception as error:
        said = status_html(failed(sentence(error, titles(DensitySettings))))
        return [said, gr.skip(), *[gr.skip() for _ in MOVING]]


def fixed_plots() -> list[Any]:
    """The plots that nothing moves."""
    return [drawn(one) for one in fixed().values()]


def chart(core: Core, name: str, *values: object) -> "Chart":
    """A plot, for its CSV."""
    if name in STILL:
        return fixed()[name]
    lab = parse(DensitySettings, dict(zip(NAMES, values, strict=True)))
    return charts(lab, schedule.conventions(planned(lab, find(core.models[0]))))[name]


def shift_for(pixels: int | None, native: int | None) -> object:
    """What eq. 23 gives for two sizes; nothing where one of them is none."""
    try:
        return round(eq_23(pixels or 0, native or 0), 3)
    except ValueError:
        return gr.skip()


def preset(index: int, chosen: list[str]) -> list[object]:
    """A row of table 1: its density is laid over the others, with its parameters."""
    values = PRESETS[index].values
    shown = [name for name in TITLES if name in {*chosen, values["density"]}]
    return [shown, *(values.get(name, gr.skip()) for name in ("m", "s", "mode_s"))]


def _presets() -> gr.Dataset:
    return gr.Dataset(
        components=[gr.Textbox(visible=False), *[gr.Number(visible=False) for _ in range(3)]],
        samples=[[one.variant, one.rank, one.rank_5, one.rank_50] for one in PRESETS],
        headers=["SD3, table 1", "rank", "5 steps", "50 steps"],
        layout="table",
        type="index",
        label="Mean rank among 61 ways to train; 1 is best",
        elem_id="presets",
    )
