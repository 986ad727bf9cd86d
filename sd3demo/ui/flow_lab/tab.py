"""The Flow lab tab: a flow in the plane that moves, and is trained in seconds on any machine.

It opens on a flow that ships with the package, before and after reflow.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from sd3demo.errors import Failure, Refusal
from sd3demo.settings import counted, parse
from sd3demo.studies.race import Race
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import Control, control
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.controls.lazy_tab import lazy_tab
from sd3demo.ui.flow_lab import field, path_views, sampler_paths
from sd3demo.ui.flow_lab.field import FieldSettings
from sd3demo.ui.flow_lab.sampler_paths import SamplerSettings
from sd3demo.ui.flow_lab.training import (
    FlowSettings,
    TrainedFlow,
    TrainingView,
    finished_view,
    flow_of,
    points_of,
    reflow_flow,
    train_flow,
)
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import drawn, frame, numbers
from sd3demo.ui.run.run_status import RunStatus, status_html, waiting
from sd3demo.ui.run.turns import checked, join
from sd3demo.ui.run.wiring import at_once, run_in_queue, stop_runs
from sd3demo.ui.server.gradio_internals import bound_sketch
from sd3demo.ui.server.ticket import Waiting
from sd3demo.ui.studies.panel import study_panel

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

TEXT = text_file("plane")
DATA = {
    "Moons": "moons",
    "Four clusters": "clusters",
    "Rings": "rings",
    "Checkerboard": "checkerboard",
    "Normal": "normal",
    "Drawn by you": "drawn",
}
PLOTS = ("loss", "loss-by-t")
SAVED = ("trajectories", *PLOTS)
"""What can be saved as numbers: the paths of the particles, and the plots."""
NOT_TRAINED = {"drawn": "Draw the data on the sheet, then press Train."}
NAMES = tuple(FlowSettings.model_fields)
KEPT = 3600  # seconds that a visitor's flow is remembered


class FlowLabLink(FlowSettings, FieldSettings, SamplerSettings, Race):
    """What a link can hold of the lab: all but a drawing."""

    data: Literal["moons", "clusters", "rings", "checkerboard", "normal", "drawn"] = "moons"


class SketchValue(TypedDict):
    """What a sketchpad holds; the composite is (rows, columns, 4)."""

    composite: NDArray[np.uint8] | None


def plane(core: Core) -> None:
    """The whole tab. Training waits in the one queue of all that computes."""
    lazy_tab(FlowLabLink, parse(FlowLabLink, {}).model_dump(), partial(_build, core))


def _build(core: Core, values: Mapping[str, object]) -> Mapping[str, Control]:
    with gr.Row(elem_id="plane", elem_classes="lesson"):
        with gr.Column(elem_classes="knobs", min_width=260):
            data = gr.Radio(
                list(DATA.items()),
                value=str(values["data"]),
                label="Data",
                elem_id="plane-data",
                interactive=True,
            )
            with gr.Column(visible=values["data"] == "drawn") as place:
                sheet = gr.Sketchpad(
                    label="Draw the data with the pencil",
                    type="numpy",
                    image_mode="RGBA",
                    canvas_size=(256, 256),
                    layers=False,
                    brush=gr.Brush(default_size=14, colors=["#1d957d"], color_mode="fixed"),
                    elem_id="plane-sheet",
                    interactive=True,  # which gradio does not see by itself of what is built late
                )
            bound_sketch(sheet)
            with gr.Row(elem_id="plane-buttons"):
                start = gr.Button("Train", variant="primary", elem_id="plane-train", min_width=80)
                again = gr.Button("Reflow", elem_id="plane-reflow", min_width=80)
                stop = gr.Button("Stop", elem_id="plane-stop", min_width=60)
            status = gr.HTML(elem_id="plane-status")
            with gr.Accordion("Training settings", open=False):
                controls = [control(name, values[name], kind=FlowSettings, place="plane") for name in NAMES]
            section(TEXT, "Train")
        with gr.Row(elem_classes="views"):
            figures_now, charts_now, particles_now, *plots_now = view_of(str(values["data"]), None)
            with gr.Column(elem_id="plot-trajectories", elem_classes="frame", min_width=260):
                particles = gr.HTML(particles_now)
            figures = gr.HTML(figures_now, elem_id="plane-figures")
            with (
                gr.Accordion("Loss of the training", open=False, elem_id="plane-losses"),
                gr.Row(elem_classes="views"),
            ):
                frames = [frame(name, plot) for name, plot in zip(PLOTS, plots_now, strict=True)]

    kept, shown = gr.State(None, time_to_live=KEPT), gr.State(charts_now, time_to_live=KEPT)
    outputs = [figures, kept, shown, particles, *(place.plot for place in frames)]
    known: dict[str, Any] = {"status": status, "titles": titles(FlowLabLink), "raw": False}
    trained = run_in_queue([start.click], partial(train, core), [data, sheet, *controls], outputs, **known)
    reflowed = run_in_queue(
        [again.click], partial(reflow, core), [data, kept], outputs, state=trained.state, **known
    )
    shown_again = [outputs[0], *outputs[2:]]
    stop_runs(stop, [trained, reflowed], ended=ended, inputs=[data, kept], outputs=shown_again)
    at_once([data.change], sheet_for, [data], [place])
    at_once([data.change], chosen, [data, kept], [status, *shown_again])
    numbers([*SAVED], csv_of, [shown], raw=False)
    exact = field.build(values) | sampler_paths.build(values)
    path_views.build()
    section(TEXT, "Race")
    race = study_panel(core, "race", values)
    return {"data": data, **dict(zip(NAMES, controls, strict=True)), **exact, **race}


def train(
    core: Core, data: str, sketch: SketchValue | None, *values: object
) -> Iterator[tuple[RunStatus, list[object]]]:
    """A new flow, streamed from its first step to its measured paths."""
    settings = parse(FlowSettings, dict(zip(NAMES, values, strict=True)))
    yield from _in_turn(core, lambda: train_flow(settings, data, points_of(data, ink(sketch))))


def reflow(core: Core, data: str, kept: TrainedFlow | None) -> Iterator[tuple[RunStatus, list[object]]]:
    """The flow of these data trained again on its own pairs: a visitor's own, else the one that ships."""
    yield from _in_turn(core, lambda: reflow_flow(flow_of(data, kept)))


def view_of(data: str, kept: TrainedFlow | None) -> list[Any]:
    """Figures, charts, particles and plots of the flow of these data; a hint where there is none yet."""
    flow = flow_of(data, kept)
    if flow is None:
        hint = NOT_TRAINED.get(data, "Press Train, and the flow moves here.")
        return ["", {}, f'<p class="hint">{hint}</p>', *[None] * len(PLOTS)]
    view = finished_view(flow, RunStatus())
    return [view.figures, view.charts, view.particles, *(drawn(view.charts[name]) for name in PLOTS)]


def chosen(data: str, kept: TrainedFlow | None) -> list[Any]:
    """The flow of the data that were chosen, in place of that of others, and no word of their run."""
    return [status_html(RunStatus()), *view_of(data, kept)]


def ended(status: RunStatus, data: str, kept: TrainedFlow | None) -> list[object]:
    """What is said of a training that was stopped, and the flow before it."""
    text = f"Stopped after {counted(status.step, 'step')}."
    return [f"{text} The previous flow is kept." if flow_of(data, kept) else text, *view_of(data, kept)]


def ink(sketch: SketchValue | None) -> NDArray[np.float64] | None:
    """Where a drawing differs from its ground, whatever the colours of the two; (rows, columns)."""
    if sketch is None or sketch["composite"] is None:
        return None
    pixels = sketch["composite"].astype(np.float64)
    return np.asarray(np.abs(pixels - np.median(pixels, axis=(0, 1))).sum(-1))


def sheet_for(data: str) -> object:
    return gr.update(visible=data == "drawn")


def csv_of(name: str, shown: dict[str, "Chart"]) -> str:
    """The numbers of the paths or of a plot."""
    from sd3demo.plots.chart import csv

    if name not in shown:
        raise gr.Error("There is no flow yet; press Train first.", print_exception=False)
    return csv(shown[name])


def _in_turn(
    core: Core, views: Callable[[], Generator[TrainingView, None, None]]
) -> Iterator[tuple[RunStatus, list[object]]]:
    """The updates of a training, after news of its place in the queue."""
    limits = core.limits
    if not limits.labs:
        raise Refusal("training is off on this page; run `sd3demo serve` on your own machine")
    with join(core, 0.0, keeps=frozenset()) as ticket:
        for place in ticket.waiting():
            yield waiting(place), [gr.skip()] * (4 + len(PLOTS))
        for update in _updates(checked(ticket, views())):
            yield update
            if ticket.spent > limits.run_seconds:
                raise Failure(
                    f"the training was stopped after {ticket.spent:.0f} s; a run has "
                    f"{limits.run_seconds:g} s here: try fewer steps"
                )


def _updates(views: Iterator[TrainingView | Waiting]) -> Iterator[tuple[RunStatus, list[object]]]:
    charts: dict[str, Chart] = {}
    for view in views:
        if isinstance(view, Waiting):
            yield waiting(view), [gr.skip()] * (4 + len(PLOTS))
            continue
        charts |= view.charts
        plots = (drawn(view.charts[name]) if name in view.charts else gr.skip() for name in PLOTS)
        rest = [charts, view.particles, *plots]
        yield view.status, [view.figures or gr.skip(), view.flow or gr.skip(), *rest]
