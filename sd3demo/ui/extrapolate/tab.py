"""The Extrapolate tab: a picture beyond the model's own size, beside its rivals, and why it holds."""

from collections.abc import Mapping
from functools import partial

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.catalogue import find
from sd3demo.ui.context import Core, warm
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.form import model_title
from sd3demo.ui.extrapolate import handlers as answers
from sd3demo.ui.extrapolate import xray
from sd3demo.ui.extrapolate.form import (
    GROUPS,
    HEAD,
    LAST,
    NAMES,
    SWITCHES,
    Bench,
    Control,
    control,
    dormant,
    opening,
    title_of,
)
from sd3demo.ui.extrapolate.plan_view import foretold
from sd3demo.ui.extrapolate.studies import measured
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import savable
from sd3demo.ui.run.stopping import stops, waits
from sd3demo.ui.run.wiring import at_once

TEXT = text_file("extrapolate")
FIRST = "a red circle above a blue square"
KEPT = 3600  # seconds that a visitor's X-rays are remembered
EMPTY = (
    '<p class="hint">The native picture, the same upsampled, the model at the larger size alone, and the '
    "projected flow will stand here, side by side and under a slider.</p>"
)


def extrapolate(core: Core) -> None:
    """The whole tab: what is asked and what it takes, the pictures, then why, then what is known of it."""
    spec = find(core.models[0])
    values = opening(spec) | {"prompt": FIRST}
    with gr.Row(elem_id="large"):
        with gr.Column(elem_id="large-ask", elem_classes="knobs", min_width=260):
            controls = {"prompt": control("prompt", values["prompt"])}
            with gr.Row(elem_id="large-buttons"):
                start = gr.Button("Enlarge", variant="primary", elem_id="large-run", scale=3, min_width=90)
                every = gr.Button("All methods", elem_id="large-all", scale=3, min_width=90)
                stop = gr.Button("Stop", elem_id="large-stop", scale=1, min_width=60)
            status = gr.HTML(elem_id="large-status")
        with gr.Column(elem_id="large-set", elem_classes="knobs", min_width=260):
            _settings(core, values, controls)
            with gr.Accordion("Your own picture", open=False):
                picture = gr.File(
                    label="In place of the native one",
                    file_types=[".png", ".jpg", ".jpeg", ".webp"],
                    height=140,
                    elem_id="large-own",
                )
        with gr.Column(elem_id="large-show"):
            lens = gr.HTML(EMPTY, elem_id="large-lens")
            cards = gr.HTML(elem_id="large-cards")
            story = gr.HTML(elem_id="large-story")
            told = gr.HTML(foretold(core, values), elem_id="large-plan")
        with gr.Column(elem_id="large-teach", min_width=260):
            section(TEXT, "Larger")
    with gr.Row(elem_classes="lesson"):
        with gr.Column(elem_classes="knobs", min_width=260):
            section(TEXT, "Why")
            which = xray.choice()
        panel = xray.panel(which)
    below = measured(core, TEXT)

    recorded = gr.State({}, time_to_live=KEPT)
    before, own = gr.State(None), gr.State(None, time_to_live=KEPT)
    shown: list[Component] = [lens, cards, status, story, recorded, before]
    runs = _runs(core, controls, (start, every, stop), own, status, shown)
    taken = at_once([picture.change], answers.taken, [picture], [status, own])
    _moves(core, controls, taken, own, told)
    linked(
        below.kind(Bench),
        {**{name: controls[name] for name in NAMES}, **below.controls},
        values,
        titles={name: title_of(name) for name in NAMES},
        when=[text.change for text in below.controls.values()],
        after=runs,
        fill=answers.filled,
        required={"prompt": "-"},
    )
    _looks(panel, recorded)


def _settings(core: Core, values: Mapping[str, object], made: dict[str, Control]) -> None:
    """The size, the switches, what is compared, and everything else folded away."""
    reasons = dormant(values)

    def place(*names: str) -> None:
        for name in names:
            made[name] = control(name, values[name], reasons.get(name, ""))

    place(*HEAD[1:3])
    with gr.Row(elem_id="large-sides"):
        place(*HEAD[3:])
    with gr.Group(elem_id="large-parts"):
        gr.HTML("<p class='head'>Parts of the method</p>")
        place(*SWITCHES)
    place(*LAST)
    for title, names in GROUPS.items():
        with gr.Accordion(title, open=False):
            if "model" in names:
                choices = [(model_title(find(each)), each) for each in core.models]
                made["model"] = gr.Dropdown(
                    choices, value=core.models[0], label="Model", elem_id="large-model"
                )
            place(*(name for name in names if name != "model"))


def _runs(
    core: Core,
    controls: Mapping[str, Control],
    buttons: tuple[gr.Button, gr.Button, gr.Button],
    own: gr.State,
    status: gr.HTML,
    shown: list[Component],
) -> list[Dependency]:
    """Two ways to start, one to stop. They stand in the one line of all runs of a model."""
    start, every, stop = buttons
    inputs: list[Component] = [own, shown[-1], *(controls[name] for name in NAMES)]
    runs = []
    for button, everything in ((start, False), (every, True)):
        waits([button.click], status)
        runs.append(
            button.click(
                partial(answers.run, core, everything),
                inputs,
                shown,
                preprocess=False,  # the settings check their values, and their sentence says more
                show_progress="minimal",
                show_progress_on=status,
                concurrency_limit=1,
                concurrency_id="model",
                api_visibility="private",
            )
        )
    stops(stop, runs, status, answers.stopped, [status], [status])
    prompt = controls["prompt"]
    if isinstance(prompt, gr.Textbox):
        at_once([prompt.focus], warm, [], [])
    return runs


def _moves(
    core: Core, controls: Mapping[str, Control], taken: Dependency, own: gr.State, told: gr.HTML
) -> None:
    """As controls move: the plan, what is greyed, and what a preset or a model brings.

    The plan follows a picture of one's own once it is `taken`: a state that is set outside the queue tells
    nobody that it changed.
    """
    every = [controls[name] for name in NAMES]
    free = [name for name in NAMES if name not in ("prompt", "seed")]
    plan = partial(answers.plan_of, core)
    at_once([controls[name].change for name in free], plan, [own, *every], [told], raw=True)
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    taken.success(plan, [own, *every], [told], preprocess=False, **quiet)
    greying = [*SWITCHES, *LAST, "method", "low_pass", "size"]
    at_once([controls[name].change for name in greying], answers.greyed, every, every, raw=True)
    at_once([controls["preset"].input], answers.preset, [controls["preset"]], every)
    at_once([controls["model"].input], answers.model, [controls["model"]], every)


def _looks(panel: xray.Panel, recorded: gr.State) -> None:
    """The X-ray follows the run, and the choice of a method in it."""
    outputs = [*(place.plot for place in panel.frames), *panel.sentences]
    at_once([recorded.change], xray.offered, [recorded], [panel.which])
    at_once([panel.which.change], xray.shown, [recorded, panel.which], outputs)
    savable(panel.frames, xray.saved, [recorded, panel.which], raw=False)
