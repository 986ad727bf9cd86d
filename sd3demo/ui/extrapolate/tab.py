"""The Extrapolate tab: a picture beyond the model's own size, beside its rivals, and why it holds."""

from collections.abc import Mapping, Sequence
from functools import partial

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.catalogue import find
from sd3demo.ui.context import Core, warm
from sd3demo.ui.controls.build import Control
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import label, titles, typeset
from sd3demo.ui.extrapolate import handlers, xray
from sd3demo.ui.extrapolate.form import (
    GROUPS,
    HEAD,
    LAST,
    NAMES,
    SWITCHES,
    ExtrapolationForm,
    form_control,
    inactive,
    opening,
)
from sd3demo.ui.extrapolate.recorded_pictures import recorded_request
from sd3demo.ui.extrapolate.studies import extrapolation_studies
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import savable
from sd3demo.ui.run.wiring import PressHandling, Trigger, after, at_once, run_in_queue, stop_runs
from sd3demo.ui.server.gradio_internals import current_tab

TEXT = text_file("extrapolate")
FIRST = "a red circle above a blue square"
"""The prompt of a link that names none; the box opens with the recorded picture's, where there is one."""
KEPT = 3600  # seconds that a visitor's X-rays are remembered


def extrapolate(core: Core) -> None:
    """The whole tab: what is asked and what it takes, the pictures, then why, then what is known of it."""
    spec, tab = find(core.models[0]), current_tab()
    recorded_run = recorded_request()
    values = opening(spec) | {"prompt": recorded_run.prompt if recorded_run else FIRST}
    with gr.Row(elem_id="large"):
        with gr.Column(elem_id="large-ask", elem_classes="knobs", min_width=260):
            controls = {"prompt": form_control("prompt", values["prompt"], spec=spec, models=core.models)}
            with gr.Row(elem_id="large-buttons"):
                start = gr.Button("Enlarge", variant="primary", elem_id="large-run", scale=3, min_width=90)
                every = gr.Button("All methods", elem_id="large-all", scale=3, min_width=90)
                stop = gr.Button("Stop", elem_id="large-stop", scale=1, min_width=60)
            status = gr.HTML(elem_id="large-status")
        with gr.Column(elem_id="large-set", elem_classes="knobs", min_width=260):
            _settings(core, values, controls)
            with gr.Accordion("Your own picture", open=False):
                picture = gr.File(
                    label="Use your own picture",
                    file_types=[".png", ".jpg", ".jpeg", ".webp"],
                    height=140,
                    elem_id="large-own",
                )
        with gr.Column(elem_id="large-show"):
            comparison = gr.HTML(elem_id="large-lens")
            cards = gr.HTML(elem_id="large-cards")
            story = gr.HTML(elem_id="large-story")
            told = gr.HTML(elem_id="large-plan")
        section(TEXT, "Larger", elem_id="large-teach", elem_classes="fold", more=_meanings())
    with gr.Row(elem_classes="lesson fold"):
        with gr.Column(elem_classes="knobs", min_width=260):
            section(TEXT, "Why")
            which = xray.method_choice()
        panel = xray.panel(which)
    below = extrapolation_studies(core, TEXT)

    recorded = gr.State({}, time_to_live=KEPT)
    visit, own = gr.State(handlers.ExtrapolationVisit()), gr.State(None, time_to_live=KEPT)
    outputs: list[Component] = [comparison, cards, story, recorded]
    if tab is not None:
        at_once([tab.select], partial(handlers.first, core), [visit], [comparison, cards, story])
    runs = _runs(core, controls, (start, every, stop), (visit, own), status, outputs)
    opened = at_once([picture.change], partial(handlers.open_picture, core), [picture], [status, own])
    _moves(core, controls, opened, own, told, [tab.select] if tab else [])
    linked_controls: dict[str, Component] = {name: controls[name] for name in NAMES}
    linked(
        below.kind(ExtrapolationForm),
        {**linked_controls, "studies": below.text},
        values | {"prompt": FIRST},
        titles=titles(ExtrapolationForm),
        when=[below.text.change],
        after=runs,
        fill=below.fill(linked_controls, handlers.filled),
        required={"prompt": "-"},
        unfold=below.unfold(linked_controls),
    )
    _looks(panel, recorded)


def _meanings() -> str:
    """What the settings of the method compute, in full, folded away: beside each stands a short sentence."""
    names = (*GROUPS["Projected flow"], *GROUPS["Inference toolkit"])
    fields = ExtrapolationForm.model_fields
    lines = (f"- **{label(name).title}**: {typeset(fields[name].description or '')}" for name in names)
    listed = "\n".join(lines)
    return f'\n<details class="why"><summary>What each setting computes</summary>\n\n{listed}\n\n</details>\n'


def _settings(core: Core, values: Mapping[str, object], controls: dict[str, Control]) -> None:
    """The size, the switches, what is compared, and everything else folded away."""
    reasons, spec = inactive(values), find(core.models[0])

    def place(*names: str) -> None:
        for name in names:
            controls[name] = form_control(
                name, values[name], spec=spec, models=core.models, reason=reasons.get(name, "")
            )

    place(*HEAD[1:3])
    with gr.Row(elem_id="large-sides"):
        place(*HEAD[3:])
    with gr.Accordion("Parts of the method", elem_id="large-parts"):
        place(*SWITCHES)
    place(*LAST)
    for title, names in GROUPS.items():
        with gr.Accordion(title, open=False):
            place(*names)


def _runs(
    core: Core,
    controls: Mapping[str, Control],
    buttons: tuple[gr.Button, gr.Button, gr.Button],
    held: tuple[gr.State, gr.State],
    status: gr.HTML,
    outputs: list[Component],
) -> list[Dependency]:
    """Two ways to start, one to stop. They stand in the queue of all runs of a model."""
    start, every, stop = buttons
    visit, own = held
    asked = [visit, own, *(controls[name] for name in NAMES)]
    known = titles(ExtrapolationForm)
    one = run_in_queue(
        [start.click],
        partial(handlers.run, core),
        [visit],
        outputs,
        status=status,
        titles=known,
        presses=PressHandling(partial(handlers.pressed, False), asked, handlers.is_wanted, handlers.dropped),
        saved=core.keeps_running,
    )
    all_methods = run_in_queue(
        [every.click],
        partial(handlers.run, core),
        [visit],
        outputs,
        status=status,
        titles=known,
        presses=PressHandling(partial(handlers.pressed, True), asked, handlers.is_wanted, handlers.dropped),
        state=one.state,
        saved=core.keeps_running,
    )
    stop_runs(stop, [one, all_methods], ended=handlers.ended, inputs=[visit])
    prompt = controls["prompt"]
    if isinstance(prompt, gr.Textbox):
        at_once([prompt.focus], warm, [], [])
    return [one.event, all_methods.event]


def _moves(
    core: Core,
    controls: Mapping[str, Control],
    opened: Dependency,
    own: gr.State,
    told: gr.HTML,
    looked_at: Sequence[Trigger],
) -> None:
    """As controls move, or the tab is looked at: the plan, what is greyed, what a preset or a model brings.

    The plan follows a picture of one's own once it is `opened`: a state that is set outside the queue tells
    nobody that it changed.
    """
    every = [controls[name] for name in NAMES]
    free = [name for name in NAMES if name not in ("prompt", "seed")]
    plan = partial(handlers.plan_of, core)
    moved = [*looked_at, *(controls[name].change for name in free)]
    at_once(moved, plan, [own, *every], [told], raw=True)
    after(opened, plan, [own, *every], [told])
    greying = [*SWITCHES, *LAST, "method", "low_pass", "size", "model"]
    at_once([controls[name].change for name in greying], handlers.grey_out, every, every, raw=True)
    both = [controls["preset"], controls["model"]]
    at_once([controls["preset"].input], handlers.preset, both, every)
    at_once([controls["model"].input], handlers.model, [controls["model"]], every)


def _looks(panel: xray.XrayPanel, recorded: gr.State) -> None:
    """The X-ray follows the run, and the choice of a method in it."""
    outputs = [*(place.plot for place in panel.frames), *panel.sentences]
    at_once([recorded.change], xray.method_update, [recorded], [panel.which])
    at_once([panel.which.change], xray.plots_and_sentences, [recorded, panel.which], outputs)
    savable(panel.frames, xray.csv_chart, [recorded, panel.which], raw=False)
