"""The Trajectories tab: how a state came from noise to a picture, and how far its way is from straight.

It opens with a trace that ships with the package, so there is something to see before any weights load.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import gradio as gr
from gradio.components import Component
from gradio.context import Context
from pydantic import AfterValidator, Field

from sd3demo.catalogue import ModelSpec, find
from sd3demo.history.traces import SUFFIX
from sd3demo.settings import Request, Time
from sd3demo.ui.context import Core, warm
from sd3demo.ui.controls import form
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.generate.stream import TITLES
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import Frame, frame, savable
from sd3demo.ui.run.stopping import stops, waits
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.studies.tabs import Studies, studies
from sd3demo.ui.trajectories import attention_view as attended
from sd3demo.ui.trajectories import handlers as traced

TEXT = text_file("trajectories")
KEPT = 3600  # seconds that a visitor's trace is remembered


@dataclass(frozen=True)
class Section:
    """A heading of the text, and the plots beside it."""

    title: str
    plots: tuple[str, ...]


SECTIONS = (
    Section("Length", ("move-lengths", "travelled")),
    Section("Turns", ("angles", "projection")),
    Section("Guidance", ("guidance-norms", "guidance-angle")),
)


STUDIES = {"path-length": "Path length", "velocity-loss": "Velocity loss", "few-steps": "Few steps"}


class Linked(Request):
    """What a link of the tab says: the settings of a run, the recorded trace, and how it is looked at."""

    recorded: Annotated[str, AfterValidator(traced.known)] = Field(
        "", description="A trace that ships; the first one when empty."
    )
    compared: bool = Field(True, description="Draw the trace before in grey.")
    t: Time | None = Field(None, description="Where the film stands.")
    attention: Annotated[str, AfterValidator(attended.known)] = Field(
        "", description="Step, block, word and patch of the attention; -1 is no word or patch."
    )


@dataclass(frozen=True)
class Actions:
    """What can be pressed, beside the settings."""

    examples: gr.Dataset
    open: gr.UploadButton
    prompt: gr.Textbox
    generate: gr.Button
    stop: gr.Button
    compare: gr.Checkbox


def trajectories(core: Core) -> None:
    """The whole tab."""
    spec = find(core.models[0])
    tab = Context.block
    parts: dict[str, gr.HTML] = {}
    frames: dict[str, Frame] = {}
    with gr.Column(elem_id="paths"):
        with gr.Row(elem_id="path-bench"):
            settings, actions = _asked(spec)
            with gr.Column(elem_id="path-show", min_width=260):
                parts["status"] = gr.HTML(elem_id="path-status")
                parts["film"] = gr.HTML(elem_id="path-film")
                parts["link"] = gr.HTML(elem_id="path-link")
            with gr.Column(elem_id="path-tell", min_width=260):
                parts["told"] = gr.HTML(elem_id="path-told")
        for part in SECTIONS:
            with gr.Row(elem_classes="lesson"):
                with gr.Column(elem_classes="knobs", min_width=260):
                    section(TEXT, part.title)
                    if part.title == "Length":
                        parts["context"] = gr.HTML(elem_id="path-context")
                    elif part.title == "Turns":
                        parts["stretched"] = gr.HTML(elem_id="path-stretched")
                with gr.Row(elem_classes="views"):
                    frames |= {name: frame(name) for name in part.plots}
        with gr.Row(elem_classes="lesson"):
            with gr.Column(elem_classes="knobs", min_width=260):
                section(TEXT, "Attention")
            with gr.Row(elem_classes="views"):
                parts["attention"] = gr.HTML(elem_id="path-attention")
        with gr.Column(elem_id="path-studies"):
            section(TEXT, "Studies")
            below = studies(core, STUDIES)
    _connect(core, spec, tab, settings, actions, parts, frames, below)


def _asked(spec: ModelSpec) -> tuple[dict[str, form.Control], Actions]:
    """Recorded traces, and the settings of one's own."""
    values = traced.opening(spec)
    reasons = form.dormant(values, spec)
    with gr.Column(elem_id="path-ask", min_width=260):
        section(TEXT, "Path")
        examples = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[[traced.title(name)] for name in traced.names()],
            type="index",
            label="Recorded",
            elem_id="path-examples",
        )
        upload = gr.UploadButton(
            "Open a trace", file_types=[SUFFIX], size="sm", elem_id="path-open", min_width=110
        )
        prompt = form.textbox("prompt", place="path")
        prompt.value = values["prompt"]
        settings: dict[str, form.Control] = {"prompt": prompt}
        with gr.Row(elem_id="path-buttons"):
            start = gr.Button("Generate", variant="primary", elem_id="path-generate", scale=3, min_width=80)
            stop = gr.Button("Stop", elem_id="path-stop", scale=1, min_width=60)
        compare = gr.Checkbox(
            True, label="Draw the trace before in grey", container=False, elem_id="path-compare"
        )
    with gr.Column(elem_id="path-set", min_width=260):
        for name in traced.NAMES[1:]:
            settings[name] = form.control(name, values[name], spec, reasons.get(name, ""), place="path")
    return settings, Actions(examples, upload, prompt, start, stop, compare)


def _connect(
    core: Core,
    spec: ModelSpec,
    tab: object,
    settings: dict[str, form.Control],
    actions: Actions,
    parts: dict[str, gr.HTML],
    frames: dict[str, Frame],
    below: Studies,
) -> None:
    """Which event has which answer. Only runs stand in the queue, in that of the model."""
    shown, named = gr.State(None, time_to_live=KEPT), gr.Textbox("", visible="hidden")
    places = [frames[name].plot for name in traced.PLOTS]
    outputs: list[Component] = [*(parts[name] for name in traced.PARTS), shown, *places]
    status, state = parts["status"], [shown, actions.compare]
    waits([actions.generate.click], status)
    run = gr.on(
        [actions.generate.click],
        partial(traced.generate, core),
        [*state, *(settings[name] for name in traced.NAMES)],
        outputs,
        preprocess=False,
        show_progress="minimal",
        show_progress_on=status,
        concurrency_limit=1,
        concurrency_id="model",
        api_visibility="private",
    )
    stops(actions.stop, [run], status, traced.halted, [status, shown], [status, parts["film"]])

    controls: dict[str, Component] = {**{name: settings[name] for name in traced.NAMES}, "recorded": named}
    film, attention = (
        gr.Number(None, visible="hidden", elem_id="path-t"),
        gr.Textbox("", visible="hidden", elem_id="path-at"),
    )
    seen = [film.change, attention.change]
    at_once(seen, None, [film, attention], [], js="(t, at) => window.sd3demo.look(t, at)")
    controls |= {"compared": actions.compare, "t": film, "attention": attention, **below.controls}
    linked(
        below.kind(Linked),
        controls,
        traced.opening(spec) | {"recorded": ""},
        titles=TITLES,
        when=[
            named.change,
            actions.compare.change,
            *seen,
            *(text.change for text in below.controls.values()),
        ],
        after=[run],
        fill=partial(traced.filled, spec),
        required={"prompt": "-"},
    )
    if isinstance(tab, gr.Tab):
        at_once([tab.select], traced.first, [*state, named], outputs)
    at_once([actions.prompt.focus], warm, [], [])
    at_once([actions.examples.click], lambda index: traced.names()[index], [actions.examples], [named])
    at_once([named.change], traced.example, [named, *state], outputs)
    at_once([actions.generate.click, actions.open.upload], lambda: "", [], [named])
    at_once([actions.open.upload], traced.uploaded, [actions.open, *state], outputs)
    at_once([actions.compare.change], traced.compare, state, places)
    savable([frames[name] for name in traced.PLOTS], traced.chart, state, raw=False)
