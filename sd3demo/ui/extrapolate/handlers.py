"""What the page answers in the Extrapolate tab."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from typing import TypeAlias

import gradio as gr

from sd3demo.catalogue import find, locate
from sd3demo.engine import Plan
from sd3demo.engine.events import ArmFinished, Finished, Pixels
from sd3demo.engine.input_image import own_of
from sd3demo.engine.plan.stages import Arm
from sd3demo.errors import Refusal
from sd3demo.history import receipts_of, to_png
from sd3demo.settings import counted
from sd3demo.settings.extrapolation import lacking
from sd3demo.ui.context import Core
from sd3demo.ui.controls.labels import help_of
from sd3demo.ui.extrapolate.compare_view import png
from sd3demo.ui.extrapolate.form import (
    NAMES,
    OPEN,
    PARTS,
    ExtrapolationForm,
    inactive,
    opening,
    preset_values,
    requested,
    typed,
    with_all_methods,
)
from sd3demo.ui.extrapolate.plan_view import plan_html, planned
from sd3demo.ui.extrapolate.recorded_pictures import recorded_view
from sd3demo.ui.extrapolate.stream import ExtrapolationView, PreviousPicture, extrapolation_views
from sd3demo.ui.extrapolate.true_render import true_render_of
from sd3demo.ui.extrapolate.xray import xray_records
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.files import file_name
from sd3demo.ui.run.own_picture import OwnPicture, opened_picture
from sd3demo.ui.run.run_status import STARTING, RunStatus, status_html, waiting
from sd3demo.ui.run.turns import RunNews, checked, in_turn, join, kept_by
from sd3demo.ui.run.visit import NOT_TAKEN, Press, Visit, with_waiting
from sd3demo.ui.run.wiring import queued
from sd3demo.ui.server.gradio_internals import ServedFile, write_served_file
from sd3demo.ui.server.lighter import lighter

Updates: TypeAlias = list[object]
OUTPUTS = 4
EVERYTHING, OWN_PICTURE = "everything", "own picture"
"""What a press holds beside the settings: whether it was All methods, and the uploaded picture."""
EMPTY = (
    '<p class="hint">Press Enlarge: the native picture, the same upscaled, and those of each method '
    "appear here, side by side and under a slider.</p>"
)


@dataclass
class ExtrapolationVisit:
    """What one browser tab has here: the presses that wait, and what the next picture is compared with."""

    presses: Visit = field(default_factory=Visit)
    previous: PreviousPicture | None = None


def pressed(
    everything: bool, status: RunStatus, visit: ExtrapolationVisit, own: OwnPicture | None, *held: object
) -> Updates:
    """A button was pressed: the settings of this moment wait for their run, also while another goes on."""
    press = Press({**dict(zip(NAMES, held, strict=True)), EVERYTHING: everything, OWN_PICTURE: own})
    if not visit.presses.press(press):
        return [gr.skip(), status_html(replace(status, behind=NOT_TAKEN))]
    return queued(status)


def is_wanted(visit: ExtrapolationVisit) -> bool:
    """Whether a press waits that no run of this visit has taken."""
    return visit.presses.begin()


def dropped(visit: ExtrapolationVisit) -> None:
    """Stop was pressed before any run began: what waits is taken back."""
    visit.presses.clear()


def run(core: Core, visit: ExtrapolationVisit) -> Iterator[tuple[RunStatus, Updates]]:
    """The runs that wait, one after the other: comparison, cards, story and X-ray records."""
    presses = visit.presses
    try:
        while (press := presses.next()) is not None:
            yield with_waiting(STARTING, presses), [gr.skip()] * OUTPUTS
            for status, updates in _enlarge(core, visit, press.settings):
                yield with_waiting(status, presses), updates
            presses.finish()
    except BaseException as error:  # or it was closed
        if isinstance(error, Exception):
            presses.clear()
        presses.end()
        raise


def _enlarge(
    core: Core, visit: ExtrapolationVisit, settings: Mapping[str, object]
) -> Iterator[tuple[RunStatus, Updates]]:
    values = {name: settings[name] for name in NAMES}
    own = settings[OWN_PICTURE]
    arms = requested(with_all_methods(values) if settings[EVERYTHING] else values, own=own is not None)
    plan = planned(arms, core, own.unread if isinstance(own, OwnPicture) else None)
    locate(plan.spec)
    if not isinstance(own, OwnPicture):
        yield from _views(core, plan, in_turn(core, plan, saved=True), visit)
        return
    words = partial(lighter, plan)
    with join(core, plan.seconds, words, saved=True, keeps=kept_by([plan])) as ticket:
        for place in ticket.waiting():
            yield waiting(place), [gr.skip()] * OUTPUTS
        pixels = own.read(core.limits)  # only now, so that one picture at a time is decoded
        plan = planned(arms, core, own_of(pixels))
        yield from _views(core, plan, checked(ticket, core.run(plan, pixels)), visit)


def _views(
    core: Core, plan: Plan, events: RunNews, visit: ExtrapolationVisit
) -> Iterator[tuple[RunStatus, Updates]]:
    shown = ExtrapolationView()
    save = partial(save_extrapolation, core)
    truth = partial(true_render_of, write=partial(write_true, plan))
    views = extrapolation_views(
        plan, events, write=write_picture, save=save, previous=visit.previous, truth=truth
    )
    for status, view in views:
        visit.previous = view.previous or visit.previous
        yield (
            status,
            [
                _changed(shown.comparison, view.comparison),
                _changed(shown.cards, view.cards),
                _changed(shown.story, view.story),
                xray_records(plan, view.finished) if view.finished else gr.skip(),
            ],
        )
        shown = view


def write_picture(arm: Arm, result: ArmFinished) -> ServedFile:
    """Write a picture with its receipt; a picture of one's own, and one that was upscaled of it, has none."""
    receipts = receipts_of(arm.request, result)
    content = to_png(result.pictures[0], receipts[0]) if receipts else png(result.pictures[0])
    return write_served_file(content, file_name(f"{arm.request.prompt[:24]} {arm.name}", arm.request.seed))


def write_true(plan: Plan, pixels: Pixels) -> ServedFile:
    """Write a true render, which no model made: it has no receipt."""
    name = file_name(f"{plan.request.prompt[:24]} true render", plan.request.seed)
    return write_served_file(png(pixels), name)


def first(core: Core, visit: ExtrapolationVisit) -> Updates:
    """The recorded enlargement, where the tab shows no other: comparison, cards and story."""
    if visit.previous is not None or visit.presses.is_running:
        return [gr.skip()] * 3
    view = recorded_view(core, write_served_file)
    if view is None:
        return [EMPTY, *[gr.skip()] * 2]
    visit.previous = view.previous
    return [view.comparison, view.cards, view.story]


def save_extrapolation(core: Core, plan: Plan, result: Finished) -> str:
    """Save a run where the page keeps a history. A sentence where it could not: the pictures are there."""
    if core.history is not None:
        try:
            arms = {arm.name: arm.request for arm in plan.arms if result.arms[arm.name].noise_sha256}
            core.history.save(plan.request, result, arms)
        except Refusal as error:
            return sentence(error, {})
    return ""


def ended(status: RunStatus, visit: ExtrapolationVisit) -> list[object]:
    """What is said of a run that was stopped; what waited behind it is dropped."""
    where = (
        f"{escape(status.stage)}, step {status.step} of {status.count}"
        if status.count
        else "before the first step"
    )
    text = f"Stopped: {where}. Finished pictures stay; Enlarge starts over."
    if waiting_runs := visit.presses.clear():
        text += f" {counted(waiting_runs, 'waiting run')} dropped."
    return [text]


def plan_of(core: Core, own: OwnPicture | None, *held: object) -> str:
    """The plan of what the controls hold, as HTML."""
    return plan_html(core, dict(zip(NAMES, held, strict=True)), own.unread if own else None)


def open_picture(core: Core, file: str | None) -> Updates:
    """Return a status, and the uploaded picture that replaces the native stage; nothing is decoded."""
    return [*opened_picture(file, core.limits, "replaces the native picture")]


def grey_out(*held: object) -> Updates:
    """Controls that change nothing now are greyed out and say why."""
    values = dict(zip(NAMES, held, strict=True))
    reasons = inactive(values)
    return [
        gr.update(interactive=name not in reasons, info=reasons.get(name) or help_of(name, ExtrapolationForm))
        if name not in PARTS
        else gr.skip()
        for name in NAMES
    ]


def preset(name: str, model_name: str) -> Updates:
    """A preset's switches and settings, as the model's family has them; the others stay."""
    found = preset_values(name, find(model_name).family)
    return [gr.update(value=found[each]) if each in found else gr.skip() for each in NAMES]


def model(name: str) -> Updates:
    """The values that a newly chosen model has of its own, and of what it lacks; the others stay."""
    spec = find(name)
    start = opening(spec)
    own = {"width", "height", "steps", "large_steps", "cfg", "guidance", *lacking(spec)}
    return [gr.update(value=start[each]) if each in own else gr.skip() for each in NAMES]


def filled(values: Mapping[str, object]) -> Sequence[object]:
    """Every control's update, for a link."""
    return [
        gr.update(value=typed(values[name]) if name in OPEN else _control_value(values[name]))
        for name in NAMES
    ]


def _control_value(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _changed(before: str, now: str) -> object:
    return gr.skip() if before == now else now
