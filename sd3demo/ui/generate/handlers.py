"""What the page answers to each thing that a person does in the Generate tab."""

import re
import secrets
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.history import read_receipt, receipts_of, to_png
from sd3demo.settings import Request, Resolved, parse
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.controls import form
from sd3demo.ui.extrapolate import reopen as extrapolate_again
from sd3demo.ui.generate.examples import EXAMPLES
from sd3demo.ui.generate.stream import TITLES, Kept, Past, View, sentence, views
from sd3demo.ui.run import status as words

Updates: TypeAlias = list[object]
"""For each output a value, `gr.update(...)`, or `gr.skip()`."""

NAMES = tuple(Request.model_fields)
OPEN = tuple(name for name, field in Request.model_fields.items() if field.default is None)
"""The settings whose values are the model's own unless something else is asked for."""


def run(core: Core, before: Past | None, reseed: bool, *values: form.Value) -> Iterator[Updates]:
    """The run that the form asks for: pictures, strip, status, story, files, what it was, and its seed."""
    given: dict[str, object] = dict(zip(NAMES, values, strict=True))
    if reseed:
        given["seed"] = new_seed()
    yield [*_changes(View(), View()), gr.skip(), given["seed"]]
    shown = View()
    for view in views(partial(prepare, given, core), core.run, keep, before, partial(remember, core)):
        yield [*_changes(shown, view), view.past or gr.skip(), gr.skip()]
        shown = view


def stopped(status: str) -> object:
    """What is said when a run was stopped, or never began: the page itself knows where it stood."""
    if "<progress" not in status or words.WAITING in status:
        return turned_away(status)
    where = re.search(r"Step (\d+) of (\d+)", status)
    return words.stopped(int(where[1]) if where else 0)


def turned_away(status: str) -> object:
    """What is said when a run ended before it began: stopped while it waited, or refused by a full line."""
    return words.not_started() if words.WAITING in status else gr.skip()


def new_seed() -> int:
    return secrets.randbelow(2**32)


def model(name: str) -> Updates:
    """The values that a newly chosen model has of its own; the others stay."""
    spec = find(name)
    return [
        update if setting in OPEN else gr.skip()
        for setting, update in zip(NAMES, _filled(form.opening(spec), spec), strict=True)
    ]


def example(index: int, model: str) -> Updates:
    """An example's settings over the model's own."""
    spec, chosen = find(model), EXAMPLES[index]
    return _filled(form.opening(spec) | {"prompt": chosen.prompt, **chosen.settings}, spec)


def receipt(core: Core, file: str) -> Updates:
    """A status, an empty place for the next file, and the settings with which a dropped picture was made.

    Those of an extrapolation are behind a link to its own tab: this one has no controls for them.
    """
    path = Path(file)
    try:
        found = read_receipt(path)
        request = found.request
        if request.model not in core.models:
            raise Refusal(f"{path.name} was made with {request.model}, which is not offered on this page")
        alone = request.model_copy(update={"seed": request.seed + found.picture, "count": 1})
        spec = find(request.model)
        if isinstance(alone, ResolvedExtrapolation):
            there = words.elsewhere(path.name, extrapolate_again.link(alone, core))
            return [there, None, *[gr.skip() for _ in NAMES]]
        return [words.taken(path.name), None, *_filled(form.held(alone, spec), spec)]
    except Refusal as error:
        said = sentence(error, TITLES).replace(str(path), f"“{path.name}”")
        return [words.failed(said), None, *[gr.skip() for _ in NAMES]]


def start(core: Core, asked: Mapping[str, object]) -> dict[str, form.Value]:
    """What the form holds at first, with the own values of the model that a link asks for.

    Raises Refusal for a model that is not offered.
    """
    name = str(asked.get("model", core.models[0]))
    if name not in core.models:
        raise Refusal(f"unknown model {name!r}; choose one of {', '.join(core.models)}")
    return form.opening(find(name)) | {"model": core.models[0]}


def linked(values: Mapping[str, object]) -> Updates:
    """Every control for what a link says; a shift of `auto` is the number that it stands for."""
    held = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    spec = find(str(held["model"]))
    if held["shift"] == "auto":
        held["shift"] = form.suggested_shift(spec, held["width"], held["height"])
    return _filled(held, spec)


def fits(values: Mapping[str, object]) -> None:
    """Raises Refusal for settings beyond what their model takes."""
    asked = {name: values[name] for name in NAMES} | {"prompt": "-"}
    resolve(parse(Request, asked), find(str(values["model"])), Budget())


def shape_of(model: str, width: form.Value, height: form.Value) -> str | None:
    """The shape whose sides these are; none where they are of no shape."""
    return next((shape for shape in form.SHAPES if sides(shape, model) == (width, height)), None)


def greyed(*values: form.Value) -> Updates:
    """Controls that change nothing now are greyed out and say why."""
    held = dict(zip(NAMES, values, strict=True))
    spec = find(str(held["model"]))
    reasons = form.dormant(held, spec)
    return [
        gr.update(
            interactive=name not in reasons,
            info=form.about_model(spec) if name == "model" else reasons.get(name) or form.help_of(name),
        )
        for name in NAMES
    ]


def sides(shape: str, model: str) -> tuple[int, int]:
    return form.shaped(shape, find(model))


def suggested(model: str, width: form.Value, height: form.Value) -> object:
    """The shift that eq. 23 gives for a size."""
    try:
        return form.suggested_shift(find(model), width, height)
    except Refusal:
        return gr.skip()  # half a number, while it is typed


def suggestion(model: str, width: form.Value, height: form.Value) -> object:
    """The words on the button that takes it."""
    try:
        return form.suggestion(find(model), width, height)
    except Refusal:
        return gr.skip()


def keep(request: Resolved, finished: Finished) -> tuple[Kept, ...]:
    """The pictures as files with their receipts, where gradio serves them and later clears them away."""
    kept = []
    for pixels, receipt in zip(finished.pictures, receipts_of(request, finished), strict=True):
        name = named(request.prompt, request.seed + receipt.picture)
        try:
            path = save_bytes_to_cache(to_png(pixels, receipt), name, get_upload_folder())
        except OSError as error:
            raise Refusal(f"cannot write the picture: {error.strerror}; the page needs free space") from error
        kept.append(Kept(path, source_of(path), name))
    return tuple(kept)


def source_of(path: str) -> str:
    """Where the browser finds a file that gradio serves."""
    return f"gradio_api/file={quote(path)}"


def named(prompt: str, seed: int) -> str:
    """What a picture's file is called: `a-red-circle-7.png`."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:40].strip("-")
    return f"{words or 'picture'}-{seed}.png"


def remember(core: Core, request: Resolved, finished: Finished) -> str:
    """Saves a run where the page keeps a history. A sentence where it could not: the picture is there."""
    if core.history is not None:
        try:
            core.history.save(request, finished)
        except Refusal as error:
            return str(error)
    return ""


def _changes(shown: View, now: View) -> Updates:
    """Pictures, strip, status, story and files, each left alone where nothing is new."""
    pairs = (
        (shown.pictures, now.pictures),
        (shown.strip, now.strip),
        (shown.status, now.status),
        (shown.story, now.story),
        ([file.path for file in shown.files], [file.path for file in now.files]),
    )
    return [gr.skip() if before == after else after for before, after in pairs]


def _filled(values: Mapping[str, form.Value], spec: ModelSpec) -> Updates:
    """Every control with its value, and its ends, which the model and the value move."""
    return [form.filled(name, values[name], spec) for name in NAMES]
