"""The Trajectories tab: how a state came from noise to a picture, and how far its way is from straight.

It opens with a trace that ships with the package, so there is something to see before any weights load.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import gradio as gr
from gradio.components import Component
from pydantic import AfterValidator, Field

from sd3demo.catalogue import ModelSpec, find
from sd3demo.history.traces import SUFFIX
from sd3demo.settings import Request, Time, without_effect
from sd3demo.ui.context import Core, warm
from sd3demo.ui.controls import build
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import PlotPlace, frame, savable
from sd3demo.ui.run.wiring import at_once, run_in_queue, stop_runs
from sd3demo.ui.server.gradio_internals import current_tab
from sd3demo.ui.studies.tabs import StudyTabs, study_tabs
from sd3demo.ui.trajectories import attention_view, handlers

TEXT = text_file("trajectories")
KEPT = 3600  # seconds that a visitor's trace is remembered


@dataclass(frozen=True)
class TextWithPlots:
    """A heading of the text, the name of the figures below its text, and the plots beside it."""

    title: str
    plots: tuple[str, ...]
    below: str | None = None


SECTIONS = (
    TextWithPlots("Length", ("move-lengths", "travelled"), "context"),
    TextWithPlots("Turns", ("angles", "projection"), "stretched"),
    TextWithPlots("Guidance", ("guidance-norms", "guidance-angle")),
)


STUDIES = {"path-length": "Path length", "velocity-loss": "Velocity loss", "few-steps": "Few steps"}


class TrajectoryLink(Request):
    """What a link of the tab says: the settings of a run, the recorded trace, and how it is looked at."""

    recorded: Annotated[str, AfterValidator(handlers.known)] = Field(
        "", description="A trace that ships; the first one when empty."
    )
    compared: bool = Field(True, description="Overlay the previous run in grey.")
    t: Time | None = Field(None, description="Where the film stands.")
    attention: Annotated[str, AfterValidator(attention_view.known)] = Field(
        "", description="Step, block, word and patch of the attention; -1 is no word or patch."
    )


@dataclass(frozen=True)
class TrajectoryButtons:
    """What can be pressed, beside the settings."""

    examples: gr.Dataset
    open: gr.UploadButton
    prompt: build.Control
    generate: gr.Button
    stop: gr.Button
    compare: gr.Checkbox


def trajectories(core: Core) -> None:
    """The whole tab."""
    spec = find(core.models[0])
    tab = current_tab()
    parts: dict[str, gr.HTML] = {}
    frames: dict[str, PlotPlace] = {}
    with gr.Column(elem_id="paths"):
        with gr.Row(elem_id="path-bench"):
            settings, buttons = _asked(spec)
            with gr.Column(elem_id="path-show", min_width=260):
                parts["status"] = gr.HTML(elem_id="path-status")
                parts["film"] = gr.HTML(elem_id="path-film")
                parts["link"] = gr.HTML(elem_id="path-link")
            parts["told"] = gr.HTML(elem_id="path-told")
        for part in SECTIONS:
            with gr.Row(elem_classes="lesson fold"):
                if part.below is None:
                    section(TEXT, part.title, elem_classes="knobs")
                else:
                    with gr.Column(elem_classes="knobs", min_width=260):
                        section(TEXT, part.title)
                        parts[part.below] = gr.HTML(elem_id=f"path-{part.below}")
                with gr.Row(elem_classes="views"):
                    frames |= {name: frame(name) for name in part.plots}
        with gr.Row(elem_classes="lesson fold"):
            section(TEXT, "Attention", elem_classes="knobs")
            parts["attention"] = gr.HTML(elem_id="path-attention", elem_classes="views")
        with gr.Column(elem_id="path-studies", elem_classes="fold"):
            section(TEXT, "Studies")
            below = study_tabs(core, STUDIES)
    _connect(core, spec, tab, settings, buttons, parts, frames, below)


def _asked(spec: ModelSpec) -> tuple[dict[str, build.Control], TrajectoryButtons]:
    """Recorded traces, and the settings of one's own."""
    values = handlers.opening(spec)
    reasons = without_effect(values, spec)
    with gr.Column(elem_id="path-ask", min_width=260):
        section(TEXT, "Path")
        examples = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[[handlers.title(name)] for name in handlers.names()],
            type="index",
            label="Recorded",
            elem_id="path-examples",
        )
        upload = gr.UploadButton(
            "Open a trace", file_types=[SUFFIX], size="sm", elem_id="path-open", min_width=110
        )
        prompt = build.control("prompt", values["prompt"], place="path")
        settings: dict[str, build.Control] = {"prompt": prompt}
        with gr.Row(elem_id="path-buttons"):
            start = gr.Button("Generate", variant="primary", elem_id="path-generate", scale=3, min_width=80)
            stop = gr.Button("Stop", elem_id="path-stop", scale=1, min_width=60)
        compare = gr.Checkbox(True, label="Overlay the previous run", container=False, elem_id="path-compare")
    with gr.Column(elem_id="path-set", min_width=260):
        for name in handlers.NAMES[1:]:
            settings[name] = build.control(
                name, values[name], spec=spec, reason=reasons.get(name, ""), place="path"
            )
    return settings, TrajectoryButtons(examples, upload, prompt, start, stop, compare)


def _connect(
    core: Core,
    spec: ModelSpec,
    tab: gr.Tab | None,
    settings: dict[str, build.Control],
    buttons: TrajectoryButtons,
    parts: dict[str, gr.HTML],
    frames: dict[str, PlotPlace],
    below: StudyTabs,
) -> None:
    """Which event has which answer. Only runs stand in the queue, in that of the model."""
    shown, named = gr.State(None, time_to_live=KEPT), gr.Textbox("", visible="hidden")
    places = [frames[name].plot for name in handlers.PLOTS]
    filled: list[Component] = [*(parts[name] for name in handlers.PARTS[1:]), shown, *places]
    status, state = parts["status"], [shown, buttons.compare]
    run = run_in_queue(
        [buttons.generate.click],
        partial(handlers.generate, core),
        [*state, *(settings[name] for name in handlers.NAMES)],
        filled,
        status=status,
        titles=titles(Request),
    )
    stop_runs(buttons.stop, [run], ended=handlers.ended, inputs=[shown], outputs=[parts["film"]])
    outputs = [status, *filled]

    controls: dict[str, Component] = {**{name: settings[name] for name in handlers.NAMES}, "recorded": named}
    film, attention = (
        gr.Number(None, visible="hidden", elem_id="path-t"),
        gr.Textbox("", visible="hidden", elem_id="path-at"),
    )
    seen = [film.change, attention.change]
    at_once(seen, None, [film, attention], [], js="(t, at) => window.sd3demo.look(t, at)")
    controls |= {"compared": buttons.compare, "t": film, "attention": attention}
    linked(
        below.kind(TrajectoryLink),
        {**controls, "studies": below.text},
        handlers.opening(spec) | {"recorded": ""},
        titles=titles(TrajectoryLink),
        when=[named.change, buttons.compare.change, *seen, below.text.change],
        after=[run.event],
        fill=below.fill(controls, partial(handlers.filled, spec)),
        required={"prompt": "-"},
        unfold=below.unfold(controls),
    )
    if tab is not None:
        at_once([tab.select], handlers.first, [*state, named], outputs)
    if isinstance(buttons.prompt, gr.Textbox):
        at_once([buttons.prompt.focus], warm, [], [])
    at_once([buttons.examples.click], lambda index: handlers.names()[index], [buttons.examples], [named])
    at_once([named.change], handlers.example, [named, *state], outputs)
    at_once([buttons.generate.click, buttons.open.upload], lambda: "", [], [named])
    at_once([buttons.open.upload], handlers.uploaded, [buttons.open, *state], outputs)
    at_once([buttons.compare.change], handlers.compare, state, places)
    savable([frames[name] for name in handlers.PLOTS], handlers.chart, state, raw=False)
