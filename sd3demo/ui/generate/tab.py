"""The Generate tab: from a prompt to a picture, and to what it means."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import gradio as gr
from gradio.components import Component
from pydantic import Field, create_model

from sd3demo.catalogue import ModelSpec, find
from sd3demo.errors import Refusal
from sd3demo.history.traces import read_trace, shipped
from sd3demo.settings import FILES, Request, Settings, without_effect
from sd3demo.ui.compare.tray import TwinRuns, lend_runs
from sd3demo.ui.context import Core, warm
from sd3demo.ui.controls import build
from sd3demo.ui.controls.build import Control
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import groups, label, lines_of, titles
from sd3demo.ui.densities import schedule_table
from sd3demo.ui.generate import handlers, image_grid
from sd3demo.ui.generate.examples import EXAMPLES
from sd3demo.ui.generate.handlers import GenerateHandlers
from sd3demo.ui.generate.prompt_note import prompt_note_html
from sd3demo.ui.generate.size import recommendation, shape_choices
from sd3demo.ui.run import pictures
from sd3demo.ui.run.markdown import prose, text_file
from sd3demo.ui.run.visit import Visit
from sd3demo.ui.run.wiring import PressHandling, QueuedRun, at_once, run_in_queue, stop_runs

KEPT = 3600  # seconds that a visitor's pictures are remembered
INTRODUCTION = text_file("introduction")
"""The page says so itself, before the server has answered."""


@dataclass(frozen=True)
class PictureUploads:
    """Where the picture to start from and its mask are dropped, and what is said of them."""

    init: gr.File
    mask: gr.File
    status: gr.HTML


@dataclass(frozen=True)
class GenerateActions:
    """What can be pressed, beside the settings."""

    generate: gr.Button
    stop: gr.Button
    dice: gr.Button
    reseed: gr.Checkbox
    shape: gr.Dropdown
    recommend: gr.Button
    examples: gr.Dataset
    receipt: gr.File
    note: gr.HTML
    """The model, and what of the prompt it does not know."""
    uploads: PictureUploads


@dataclass(frozen=True)
class GenerateOutputs:
    """What a run fills; its status is the wiring's."""

    status: gr.HTML
    pictures: gr.HTML
    strip: gr.HTML
    story: gr.HTML
    column: gr.Column
    """That of the picture, under which the grid stands."""

    @property
    def views(self) -> list[Component]:
        """What shows one result."""
        return [self.pictures, self.strip, self.story]


def generate(core: Core, kind: type[Request] = Request) -> None:
    """The whole tab, to be read from left to right: what is asked, the picture, what it means.

    Every setting of `kind` has its control, and its place in links.
    """
    spec = find(core.models[0])
    answers = GenerateHandlers(core, kind)
    uploaded = [gr.State(None, time_to_live=KEPT) for _ in FILES]
    with gr.Row(elem_id="bench"):
        settings, actions = _asked(core, spec, kind)
        shown = _shown(spec)
        visit = gr.State(Visit())
        with shown.column:
            grid = image_grid.grid_panel(answers, settings, visit, uploaded)
    _connect(answers, settings, actions, shown, grid, uploaded, visit)


def link_settings(kind: type[Request]) -> type[Settings]:
    """What a link of the tab says: the settings of a picture, and those of the grid."""
    reseed = (bool, Field(False, description="Draw a new seed for every run."))
    return create_model("GenerateLink", __base__=(kind, image_grid.GridSettings), reseed=reseed)


def _asked(core: Core, spec: ModelSpec, kind: type[Request]) -> tuple[dict[str, Control], GenerateActions]:
    """The prompt with its buttons, and below them every other setting in its group."""
    values = build.opening(spec, kind)
    reasons = without_effect(values, spec)

    def control(name: str) -> Control:
        reason = reasons.get(name, "")
        return build.control(name, values[name], kind=kind, spec=spec, reason=reason, models=core.models)

    settings: dict[str, Control] = {}
    pictures_asked: dict[str, gr.File] = {}
    with gr.Column(elem_id="ask"):
        settings["model"] = control("model")
        settings["prompt"] = control("prompt")
        note = gr.HTML(prompt_note_html(spec.name, str(values["prompt"])), elem_id="prompt-note")
        with gr.Row(elem_id="buttons"):
            start = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
            stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80)
        examples = gr.Dataset(
            components=["textbox"],
            samples=[[example.title] for example in EXAMPLES],
            type="index",
            label="Examples",
            elem_id="examples",
        )
    with gr.Column(elem_id="set"):
        with gr.Row(elem_id="seed-row"):
            settings["seed"] = control("seed")
            dice = gr.Button("New seed", size="sm", elem_id="dice", min_width=90)
        reseed = gr.Checkbox(label=label("reseed").title, container=False, elem_id="reseed")
        for group in groups(kind.model_fields):
            with gr.Accordion(group.title, open=group.open):
                if "init" in group.fields:
                    pictures_asked = {name: _file(name) for name in FILES}
                    picture_status = gr.HTML(elem_id="picture-status")
                if "width" in group.fields:
                    shape = gr.Dropdown(
                        shape_choices(spec),
                        value="1:1",
                        allow_custom_value=True,
                        label="Shape",
                        info="Choose, or type any ratio such as 5:2 or a size such as 768 x 512.",
                        elem_id="shape",
                    )
                for name in group.fields:
                    if name in FILES:
                        continue
                    settings[name] = control(name)
                    if lines := lines_of(name):
                        gr.HTML(lines, elem_id=f"lines-{name}")
                if "shift" in group.fields:
                    size = (int(values["width"]), int(values["height"]))
                    recommend = gr.Button(recommendation(spec, *size), size="sm", elem_id="suggest")
        schedule_table.schedule_panel(core, settings)
        receipt = gr.File(
            label="Settings from a PNG of this app", file_types=[".png"], height=128, elem_id="receipt"
        )
    uploads = PictureUploads(pictures_asked["init"], pictures_asked["mask"], picture_status)
    actions = GenerateActions(start, stop, dice, reseed, shape, recommend, examples, receipt, note, uploads)
    return settings, actions


def _file(name: str) -> gr.File:
    return gr.File(
        label=label(name).title,
        file_types=[".png", ".jpg", ".jpeg", ".webp"],
        height=110,
        elem_id=f"upload-{name}",
    )


def _shown(spec: ModelSpec) -> GenerateOutputs:
    """The picture with its progress, and beside it what was done."""
    values = build.opening(spec)
    with gr.Column(elem_id="show") as column:
        size = (int(values["width"]), int(values["height"]))
        opening = _recorded_html() or pictures.waiting(size)
        shown = gr.HTML(opening, elem_id="pictures")
        status = gr.HTML("", elem_id="status")
        strip = gr.HTML(elem_id="strip")
    with gr.Column(elem_id="tell"):
        story = gr.HTML(elem_id="story")
        prose(INTRODUCTION, "introduction")
    return GenerateOutputs(status, shown, strip, story, column)


def _recorded_html() -> str:
    """The first run that ships, whatever the page's models are; "" without one."""
    for path in shipped()[:1]:
        with suppress(Refusal):
            return pictures.recorded(read_trace(path))
    return ""


def _connect(
    answers: GenerateHandlers,
    settings: Mapping[str, Control],
    actions: GenerateActions,
    shown: GenerateOutputs,
    grid: tuple[Mapping[str, Component], QueuedRun],
    uploaded: Sequence[gr.State],
    visit: gr.State,
) -> None:
    """Which event has which answer. Only runs stand in the queue."""
    controls = [settings[name] for name in answers.names]
    prompt, seed, model = settings["prompt"], settings["seed"], settings["model"]
    sides = [settings["width"], settings["height"]]
    came = gr.Textbox(visible="hidden")
    grid_controls, grid_run = grid

    names = titles(answers.kind)
    outputs = [*shown.views, seed, prompt]
    run = run_in_queue(
        [actions.generate.click, *([prompt.submit] if isinstance(prompt, gr.Textbox) else [])],
        answers.run,
        [visit],
        outputs,
        status=shown.status,
        titles=names,
        saved=answers.core.keeps_running,
        presses=PressHandling(
            answers.pressed,
            [visit, actions.reseed, *controls, *uploaded],
            handlers.is_wanted,
            handlers.dropped,
        ),
    )
    stop_runs(actions.stop, [run], ended=answers.stopped, inputs=[visit], outputs=[shown.story])
    lend_runs(
        TwinRuns(
            visit,
            run,
            answers.run,
            handlers.is_wanted,
            handlers.dropped,
            outputs,
            names,
            actions.stop,
            answers.stopped,
            [shown.story],
        )
    )

    at_once([prompt.change, model.change], prompt_note_html, [model, prompt], [actions.note])
    focus = [prompt.focus] if isinstance(prompt, gr.Textbox) else []
    at_once([*focus, actions.examples.click], warm, [], [])
    uploads, (init, mask) = actions.uploads, uploaded
    at_once([uploads.init.change], answers.open_init, [uploads.init, model], [uploads.status, init, *sides])
    at_once([uploads.mask.change], answers.open_mask, [uploads.mask], [uploads.status, mask])
    at_once([actions.dice.click], handlers.new_seed, [], [seed])
    at_once([actions.recommend.click], handlers.shift_for, [model, *sides], [settings["shift"]], raw=True)
    at_once([actions.shape.input], handlers.size, [actions.shape, model], sides)
    example = at_once([actions.examples.click], answers.example, [actions.examples, model], controls)
    example.success(None, js="() => document.querySelector('#generate').click()", api_visibility="private")
    filled = at_once(
        [actions.receipt.upload],
        answers.receipt,
        [actions.receipt, visit],
        [shown.status, actions.receipt, *shown.views, *controls],
    )
    linked(
        link_settings(answers.kind),
        {**{name: settings[name] for name in answers.names}, "reseed": actions.reseed, **grid_controls},
        partial(image_grid.start, answers),
        titles=names,
        after=[run.event, filled, grid_run.event],
        fill=answers.linked,
        required={"prompt": "-"},
        check=answers.fits,
        came=came,
    )
    at_once([came.change], answers.arrived, [visit, *controls], shown.views, raw=True)
    at_once([model.input], answers.model, [model], controls)
    at_once(
        [settings[name].change for name in ("model", "cfg", "t5", "clip_g", "uncond", "schedule")],
        answers.inactive,
        controls,
        controls,
        raw=True,
    )
    resized = [settings[name].change for name in ("model", "width", "height")]
    at_once(resized, handlers.shift_button, [model, *sides], [actions.recommend], raw=True)
    at_once(resized, handlers.shape_of, [model, *sides], [actions.shape], raw=True)
