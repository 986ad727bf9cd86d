"""The Flow lab tab: a flow in the plane that is trained before one's eyes, in seconds, on any machine."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

import gradio as gr
import numpy as np
from gradio.components import Component
from gradio.events import Dependency
from numpy.typing import NDArray

from sd3demo.settings import bounds_of, counted, parse
from sd3demo.ui.context import Core
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.densities.settings import TITLES
from sd3demo.ui.flow_lab import training as course
from sd3demo.ui.flow_lab.training import STEPS, Course, Scene, Trained
from sd3demo.ui.generate.stream import sentence
from sd3demo.ui.run import status as words
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import drawn, frame, savable
from sd3demo.ui.run.stopping import stops
from sd3demo.ui.run.wiring import at_once

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

TEXT = text_file("plane")
DATA = {
    "Moons": "moons",
    "Rings": "rings",
    "Checkerboard": "checkerboard",
    "Normal": "normal",
    "Drawn by you": "drawn",
}
PLOTS = ("trajectories", "loss", "loss-by-t", *(f"samples-{count}" for count in STEPS))
NAMES = tuple(Course.model_fields)
FACES = {
    "data": "Data",
    "density": "Density of the training times",
    "m": "Location m",
    "s": "Scale s",
    "mode_s": "Scale s of mode",
    "shift": "Shift α",
    "steps": "Steps of training",
}
FINE: Mapping[str, float] = {"m": 0.05, "s": 0.05, "mode_s": 0.01, "shift": 0.05, "steps": 100}
FARTHEST: Mapping[str, float] = {"shift": 12, "mode_s": 1.75}
"""Where a slider ends; what is larger is typed."""
KEPT = 3600  # seconds that a visitor's flow is remembered


class Shared(Course):
    """What a link can hold of the lab: all but a drawing."""

    data: Literal["moons", "rings", "checkerboard", "normal", "drawn"] = "moons"


class Sheet(TypedDict):
    """What a sketchpad holds; the composite is (rows, columns, 4)."""

    composite: NDArray[np.uint8] | None


def plane(core: Core) -> None:
    """The whole tab. Training stands in a line of its own, beside that of the models."""
    with gr.Row(elem_id="plane", elem_classes="lesson"):
        with gr.Column(elem_classes="knobs", min_width=260):
            data = gr.Radio(list(DATA.items()), value="moons", label="Data", elem_id="plane-data")
            sheet = gr.Sketchpad(
                label="Take the pencil and draw the data",
                type="numpy",
                image_mode="RGBA",
                canvas_size=(256, 256),
                layers=False,
                brush=gr.Brush(default_size=14, colors=["#1d957d"], color_mode="fixed"),
                visible=False,
                elem_id="plane-sheet",
            )
            controls = [control(name) for name in NAMES]
            with gr.Row(elem_id="plane-buttons"):
                start = gr.Button("Train", variant="primary", elem_id="plane-train", min_width=80)
                again = gr.Button("Reflow", elem_id="plane-reflow", min_width=80)
                stop = gr.Button("Stop", elem_id="plane-stop", min_width=60)
            status = gr.HTML(elem_id="plane-status")
            figures = gr.HTML(elem_id="plane-figures")
            section(TEXT, "Train")
        with gr.Row(elem_classes="views"):
            frames = [frame(name) for name in PLOTS]

    kept, shown = gr.State(None, time_to_live=KEPT), gr.State({}, time_to_live=KEPT)
    outputs = [status, figures, kept, shown, *(place.plot for place in frames)]
    taught = _streamed(start, train, [data, sheet, *controls], outputs)
    reflowed = _streamed(again, reflow, [kept], outputs)
    stops(stop, [taught, reflowed], status, stopped, [status], [status])
    shared = {"data": data, **dict(zip(NAMES, controls, strict=True))}
    changed = [part.change for part in (data, *controls)]
    linked(Shared, shared, parse(Shared, {}).model_dump(), titles=FACES, when=changed)
    at_once([data.change], sheet_for, [data], [sheet])
    savable(frames, saved, [shown], raw=False)


def train(data: str, sheet: Sheet | None, *values: object) -> Iterator[list[object]]:
    """A new flow, streamed from its first step to its measured paths."""
    try:
        chosen = parse(Course, dict(zip(NAMES, values, strict=True)))
        points = course.chosen(data, ink(sheet))
        yield from _scenes(course.trained(chosen, data, points))
    except Exception as error:
        yield _refused(error)


def reflow(kept: Trained | None) -> Iterator[list[object]]:
    """The flow trained again on its own pairs."""
    try:
        yield from _scenes(course.straightened(kept))
    except Exception as error:
        yield _refused(error)


def stopped(status: str) -> object:
    """What is said when a training was cancelled: the page itself knows where it stood."""
    where = re.search(r"Step (\d+) of", status or "")
    if not where:
        return gr.skip()
    said = f"Stopped after {counted(int(where[1]), 'step')}; the flow before is kept."
    return f'<p class="done" role="status">{said}</p>'


def ink(sheet: Sheet | None) -> NDArray[np.float64] | None:
    """Where a drawing differs from its ground, whatever the colours of the two; (rows, columns)."""
    if sheet is None or sheet["composite"] is None:
        return None
    pixels = sheet["composite"].astype(np.float64)
    return np.asarray(np.abs(pixels - np.median(pixels, axis=(0, 1))).sum(-1))


def sheet_for(data: str) -> object:
    return gr.update(visible=data == "drawn")


def saved(name: str, shown: dict[str, "Chart"]) -> "Chart":
    """A plot for its CSV."""
    if name not in shown:
        raise gr.Error("There is no flow yet; press Train first.", print_exception=False)
    return shown[name]


def control(name: str) -> gr.Slider | gr.Radio:
    """A setting's control: its bounds and its help are those of its field."""
    field = Course.model_fields[name]
    title, place = FACES[name], f"plane-{name}"
    bounds = bounds_of(field)
    if bounds is None:
        choices = [(title_, name_) for name_, title_ in TITLES.items()]
        return gr.Radio(choices, value=field.default, label=title, info=field.description, elem_id=place)
    low, high = bounds
    return gr.Slider(
        low,
        FARTHEST.get(name, high),
        field.default,
        step=FINE[name],
        label=title,
        info=field.description,
        elem_id=place,
        buttons=[],
    )


def _streamed(
    button: gr.Button,
    answer: Callable[..., Iterator[list[object]]],
    inputs: Sequence[Component],
    outputs: Sequence[Component],
) -> Dependency:
    return button.click(
        answer,
        inputs,
        outputs,
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="plane",
        api_visibility="private",
    )


def _scenes(scenes: Iterator[Scene]) -> Iterator[list[object]]:
    charts: dict[str, Chart] = {}
    for scene in scenes:
        charts |= scene.charts
        plots = (drawn(scene.charts[name]) if name in scene.charts else gr.skip() for name in PLOTS)
        yield [scene.status, scene.figures or gr.skip(), scene.trained or gr.skip(), charts, *plots]


def _refused(error: Exception) -> list[object]:
    return [words.failed(sentence(error, FACES)), *[gr.skip() for _ in range(3 + len(PLOTS))]]
