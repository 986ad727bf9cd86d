"""What the page answers in the Extrapolate tab."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from sd3demo.catalogue import find, locate
from sd3demo.engine import Plan
from sd3demo.engine.events import ArmFinished, Finished, Pixels
from sd3demo.engine.input_image import own_of, read_own
from sd3demo.engine.plan.stages import Arm
from sd3demo.errors import Refusal
from sd3demo.history import receipts_of, to_png
from sd3demo.ui.context import Core, Events
from sd3demo.ui.extrapolate.compare_view import png
from sd3demo.ui.extrapolate.form import (
    NAMES,
    OPEN,
    PARTS,
    SHOWN,
    asked,
    chosen,
    dormant,
    help_of,
    opening,
    typed,
)
from sd3demo.ui.extrapolate.plan_view import foretold, planned
from sd3demo.ui.extrapolate.stream import Past, View, views
from sd3demo.ui.extrapolate.xray import seen
from sd3demo.ui.generate.handlers import named, turned_away
from sd3demo.ui.generate.stream import Kept
from sd3demo.ui.run import status as words

Updates: TypeAlias = list[object]


def run(
    core: Core, everything: bool, own: Pixels | None, before: Past | None, *held: object
) -> Iterator[Updates]:
    """Lens, cards, status, story, what was recorded, and what the next run is compared with."""
    values = dict(zip(NAMES, held, strict=True))
    plans: list[Plan] = []

    def prepare() -> Plan:
        compared = {"compare": list(SHOWN)} if everything else {}
        made = planned(asked({**values, **compared}, own=own is not None), core, own)
        locate(made.spec)
        plans.append(made)
        return made

    def carried(plan: Plan) -> Events:
        return core.run(plan) if own is None else core.run(plan, own)

    shown = View()
    for view in views(prepare, carried, keep, before, partial(remember, core)):
        recorded: object = gr.skip()
        if view.finished is not None and view.finished is not shown.finished:
            recorded = seen(plans[0], view.finished)
        yield [
            _new(shown.lens, view.lens),
            _new(shown.cards, view.cards),
            _new(shown.status, view.status),
            _new(shown.story, view.story),
            recorded,
            view.past if view.past is not None and view.past is not shown.past else gr.skip(),
        ]
        shown = view


def keep(arm: Arm, made: ArmFinished) -> Kept:
    """A picture as a file with its receipt, where gradio serves it and later clears it away.

    A picture of one's own, and what was merely resampled of it, has none.
    """
    receipts = receipts_of(arm.request, made)
    content = to_png(made.pictures[0], receipts[0]) if receipts else png(made.pictures[0])
    name = named(f"{arm.request.prompt[:24]} {arm.name}", arm.request.seed)
    try:
        path = save_bytes_to_cache(content, name, get_upload_folder())
    except OSError as error:
        raise Refusal(f"cannot write the picture: {error.strerror}; the page needs free space") from error
    return Kept(path, f"gradio_api/file={quote(path)}", name)


def remember(core: Core, made: Plan, finished: Finished) -> str:
    """Saves a run where the page keeps a history. A sentence where it could not: the pictures are there."""
    if core.history is not None:
        try:
            arms = {arm.name: arm.request for arm in made.arms if finished.arms[arm.name].noise_sha256}
            core.history.save(made.request, finished, arms)
        except Refusal as error:
            return str(error)
    return ""


def stopped(status: str) -> object:
    """What is said when Stop was pressed: the page itself knows where the run stood."""
    if "<progress" not in status or words.WAITING in status:
        return turned_away(status)
    where = re.search(r"<span>([^<:]+): step (\d+) of (\d+)", status)
    at = f" {where[1]} in step {where[2]} of {where[3]}" if where else " before the first step"
    return (
        f'<p class="done" role="status">Stopped:{at}. The pictures that were finished stay; Enlarge starts '
        "again from the noise.</p>"
    )


def plan_of(core: Core, own: Pixels | None, *held: object) -> str:
    return foretold(core, dict(zip(NAMES, held, strict=True)), own)


def taken(file: str | None) -> Updates:
    """A status, and the picture that stands in place of the native one from now on."""
    if not file:
        return ["", None]
    try:
        pixels = read_own(Path(file))
        own_of(pixels)
    except Refusal as error:
        return [words.failed(str(error).replace(file, f"“{Path(file).name}”")), None]
    height, width, _ = pixels.shape
    said = f"{escape(Path(file).name)}, {width} × {height} px, stands in place of the native picture."
    return [f'<p class="done" role="status">{said}</p>', pixels]


def greyed(*held: object) -> Updates:
    """Controls that change nothing now are greyed out and say why."""
    values = dict(zip(NAMES, held, strict=True))
    reasons = dormant(values)
    return [
        gr.update(interactive=name not in reasons, info=reasons.get(name) or help_of(name))
        if name not in PARTS
        else gr.skip()
        for name in NAMES
    ]


def preset(name: str) -> Updates:
    """A preset's switches and settings; the others stay."""
    found = chosen(name)
    return [gr.update(value=found[each]) if each in found else gr.skip() for each in NAMES]


def model(name: str) -> Updates:
    """The values that a newly chosen model has of its own; the others stay."""
    start = opening(find(name))
    own = ("width", "height", "steps", "large_steps", "cfg")
    return [gr.update(value=start[each]) if each in own else gr.skip() for each in NAMES]


def filled(values: Mapping[str, object]) -> Sequence[object]:
    """Every control's update, for a link."""
    return [gr.update(value=typed(values[name]) if name in OPEN else _held(values[name])) for name in NAMES]


def _held(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _new(before: str, now: str) -> object:
    return gr.skip() if before == now else now
