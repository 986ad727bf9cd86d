"""The Generate tab: from a prompt to a picture, and to what it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from pydantic import Field

from sd3demo.catalogue import ModelSpec, find
from sd3demo.settings import Request
from sd3demo.ui.context import Core, warm
from sd3demo.ui.controls import form
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import groups
from sd3demo.ui.densities import schedule_table as schedule
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.generate import image_grid as grid
from sd3demo.ui.generate.examples import EXAMPLES
from sd3demo.ui.generate.stream import TITLES
from sd3demo.ui.run import pictures as canvas
from sd3demo.ui.run.markdown import prose, text_file
from sd3demo.ui.run.stopping import stops, waits
from sd3demo.ui.run.wiring import at_once

INTRODUCTION = text_file("introduction")
"""The page says so itself, before the server has answered."""


class Linked(Request, grid.Sides):
    """What a link of the tab says: the settings of a picture, and those of the grid."""

    reseed: bool = Field(False, description="Draw a new seed for every picture.")


@dataclass(frozen=True)
class Actions:
    """What can be pressed, beside the settings."""

    prompt: gr.Textbox
    generate: gr.Button
    stop: gr.Button
    dice: gr.Button
    reseed: gr.Checkbox
    shape: gr.Radio
    suggest: gr.Button
    examples: gr.Dataset
    receipt: gr.File


@dataclass(frozen=True)
class Shown:
    """What a run fills."""

    pictures: gr.HTML
    strip: gr.HTML
    status: gr.HTML
    story: gr.HTML
    files: gr.File

    @property
    def all(self) -> list[Component]:
        return [self.pictures, self.strip, self.status, self.story, self.files]


def generate(core: Core) -> None:
    """The whole tab, to be read from left to right: what is asked, the picture, what it means."""
    spec = find(core.models[0])
    with gr.Row(elem_id="bench"):
        settings, actions = _asked(core, spec)
        shown = _shown(spec)
    sides, made = grid.beside(core, settings)
    _connect(core, settings, actions, shown, sides, made)


def _asked(core: Core, spec: ModelSpec) -> tuple[dict[str, form.Control], Actions]:
    """The prompt with its buttons, and below them every other setting in its group."""
    values = form.opening(spec)
    reasons = form.dormant(values, spec)

    def control(name: str) -> form.Control:
        if name == "model":
            return form.model_control(core.models)
        return form.control(name, values[name], spec, reasons.get(name, ""))

    settings: dict[str, form.Control] = {}
    with gr.Column(elem_id="ask"):
        settings["prompt"] = prompt = form.textbox("prompt")
        with gr.Row(elem_id="buttons"):
            start = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
            stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80)
        examples = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[[example.title] for example in EXAMPLES],
            type="index",
            label="Examples",
            elem_id="examples",
        )
    with gr.Column(elem_id="set"):
        with gr.Row(elem_id="seed-row"):
            settings["seed"] = control("seed")
            dice = gr.Button("New seed", size="sm", elem_id="dice", min_width=90)
        reseed = gr.Checkbox(
            label="Draw a new seed for every picture",
            info="New seed draws one at random, and nothing runs yet. With the tick every run draws one, "
            "and it stands above afterwards.",
            container=False,
            elem_id="reseed",
        )
        for group in groups():
            with gr.Accordion(group.title, open=group.open):
                if "width" in group.fields:
                    shape = gr.Radio(
                        list(form.SHAPES),
                        value="1:1",
                        label="Shape",
                        info="Width to height, with about as many pixels as the model was trained on.",
                        elem_id="shape",
                    )
                for name in group.fields:
                    settings[name] = control(name)
                    if lines := form.lines_of(name):
                        gr.HTML(lines, elem_id=f"lines-{name}")
                    if name == "shift":
                        size = (int(values["width"]), int(values["height"]))
                        suggest = gr.Button(form.suggestion(spec, *size), size="sm", elem_id="suggest")
        schedule.beside(core, settings)
        receipt = gr.File(
            label="Settings from a PNG that was made here",
            file_types=[".png"],
            height=128,
            elem_id="receipt",
        )
    return settings, Actions(prompt, start, stop, dice, reseed, shape, suggest, examples, receipt)


def _shown(spec: ModelSpec) -> Shown:
    """The picture with its progress, and beside it what was done."""
    values = form.opening(spec)
    with gr.Column(elem_id="show"):
        pictures = gr.HTML(canvas.waiting((int(values["width"]), int(values["height"]))), elem_id="pictures")
        status = gr.HTML("", elem_id="status")
        strip = gr.HTML(elem_id="strip")
        files = gr.File(visible=False, file_count="multiple")
    with gr.Column(elem_id="tell"):
        story = gr.HTML(elem_id="story")
        prose(INTRODUCTION, "introduction")
    return Shown(pictures, strip, status, story, files)


def _connect(
    core: Core,
    settings: Mapping[str, form.Control],
    actions: Actions,
    shown: Shown,
    sides_of_grid: Mapping[str, Component],
    made: Dependency,
) -> None:
    """Which event has which answer. Only runs stand in the queue."""
    controls = [settings[name] for name in answers.NAMES]
    model, sides = settings["model"], [settings["width"], settings["height"]]
    before = gr.State(None)

    started = [actions.generate.click, actions.prompt.submit]
    waits(started, shown.status)
    run = gr.on(
        started,
        partial(answers.run, core),
        [before, actions.reseed, *controls],
        [*shown.all, before, settings["seed"]],
        preprocess=False,  # the settings check their values, and their sentence says more
        show_progress="minimal",
        show_progress_on=shown.status,
        concurrency_limit=1,
        concurrency_id="model",
        api_visibility="private",
    )
    stops(actions.stop, [run], shown.status, answers.stopped, [shown.status], [shown.status])

    at_once([actions.prompt.focus, actions.examples.click], warm, [], [])
    at_once([actions.dice.click], answers.new_seed, [], [settings["seed"]])
    at_once([actions.suggest.click], answers.suggested, [model, *sides], [settings["shift"]], raw=True)
    at_once([actions.shape.input], answers.sides, [actions.shape, model], sides)
    at_once([actions.examples.click], answers.example, [actions.examples, model], controls)
    take = partial(answers.receipt, core)
    took = at_once(
        [actions.receipt.upload], take, [actions.receipt], [shown.status, actions.receipt, *controls]
    )
    linked(
        Linked,
        {**{name: settings[name] for name in answers.NAMES}, "reseed": actions.reseed, **sides_of_grid},
        partial(grid.start, core),
        titles=TITLES,
        after=[run, took, made],
        fill=answers.linked,
        required={"prompt": "-"},
        check=answers.fits,
    )
    at_once([model.input], answers.model, [model], controls)
    at_once(
        [settings[name].change for name in ("model", "cfg", "t5", "clip_g", "schedule")],
        answers.greyed,
        controls,
        controls,
        raw=True,
    )
    resized = [settings[name].change for name in ("model", "width", "height")]
    at_once(resized, answers.suggestion, [model, *sides], [actions.suggest], raw=True)
    at_once(resized, answers.shape_of, [model, *sides], [actions.shape], raw=True)
