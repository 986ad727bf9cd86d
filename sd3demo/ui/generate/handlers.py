"""What the page answers to each thing that a person does in the Generate tab."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TypeAlias

import gradio as gr

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget, Plan
from sd3demo.engine.plan.resolve import near_native, resolve
from sd3demo.errors import Refusal
from sd3demo.history import Receipt, model_on_offer, read_receipt, single_request
from sd3demo.history.input_pictures import with_inputs
from sd3demo.settings import (
    FILES,
    LAST_SEED,
    Request,
    Resolved,
    counted,
    foreign_options,
    parse,
    without_effect,
)
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.compare.pinned import PinnedPicture
from sd3demo.ui.compare.twins import twins_html
from sd3demo.ui.context import Core, prepare, prepared
from sd3demo.ui.controls import build
from sd3demo.ui.controls.build import Value
from sd3demo.ui.controls.deep_links import written
from sd3demo.ui.controls.labels import help_of, label, titles
from sd3demo.ui.extrapolate import reopen as extrapolate_again
from sd3demo.ui.generate.examples import EXAMPLES
from sd3demo.ui.generate.opened import kept_run, result_of_file, result_of_run
from sd3demo.ui.generate.size import (
    recommendation,
    recommended_shift,
    shape_choices,
    shape_of_size,
    size_of_shape,
)
from sd3demo.ui.generate.stream import RunView, run_views
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.files import save_to_history, write_pictures
from sd3demo.ui.run.own_picture import OwnPicture, opened_picture, pictures_by_name
from sd3demo.ui.run.picture_verdicts import verdicts_of, warm_judge
from sd3demo.ui.run.result import RunResult
from sd3demo.ui.run.result_view import head_html, result_html
from sd3demo.ui.run.run_status import STARTING, RunStatus, failed, finished, status_html
from sd3demo.ui.run.turns import in_turn
from sd3demo.ui.run.visit import NOT_TAKEN, Press, Visit, with_waiting
from sd3demo.ui.run.wiring import queued

Updates: TypeAlias = list[object]
"""For each output a value, `gr.update(...)`, or `gr.skip()`."""
VIEWS = 3
"""Pictures, strip and story: what shows one result."""


@dataclass(frozen=True)
class GenerateHandlers:
    """The answers of the tab. Every setting of `kind` has a control, in the order of its fields."""

    core: Core
    kind: type[Request] = Request

    @property
    def names(self) -> tuple[str, ...]:
        """The settings, in the order in which the controls hand over their values."""
        return tuple(name for name in self.kind.model_fields if name not in FILES)

    def given(self, values: Sequence[object]) -> dict[str, object]:
        """The settings of the form: the controls' values, then the pictures that were uploaded, if any."""
        controls, pictures = values[: len(self.names)], values[len(self.names) :]
        files = dict(zip(FILES, pictures, strict=False))
        paths = {name: file.path for name, file in files.items() if isinstance(file, OwnPicture)}
        return {**dict(zip(self.names, controls, strict=True)), **paths}

    def open_init(self, file: str | None, model: str) -> Updates:
        """A picture to start from that was uploaded: what is said of it, itself, and the size for it."""
        said, picture = opened_picture(file, self.core.limits, "is where the run begins")
        if picture is None:
            return [said, None, gr.skip(), gr.skip()]
        spec = find(model)
        size = (min(side, spec.can.max_side) for side in near_native((picture.width, picture.height), spec))
        return [said, picture, *size]

    def open_mask(self, file: str | None) -> Updates:
        """A mask that was uploaded: what is said of it, and itself."""
        return [*opened_picture(file, self.core.limits, "is the mask: white is repainted")]

    def pressed(self, status: RunStatus, visit: Visit, reseed: bool, *values: object) -> Updates:
        """Generate was pressed: the settings of this moment wait for their run, also while another goes on.

        Without a prompt it is the one that the empty field shows.
        """
        given = self.given(values)
        shown: dict[str, object] = {}
        if not str(given["prompt"]).strip():
            shown["prompt"] = given["prompt"] = label("prompt", self.kind).hint
        if reseed:
            shown["seed"] = given["seed"] = new_seed()
        if not visit.press(Press(given, shown)):
            return [gr.skip(), status_html(replace(status, behind=NOT_TAKEN))]
        return queued(status)

    def run(self, visit: Visit) -> Iterator[tuple[RunStatus, Updates]]:
        """The runs that wait, one after the other: pictures, strip, story, and what the form is to hold."""
        try:
            while (press := visit.next()) is not None:
                yield from self._run(press, visit)
        except BaseException as error:  # or it was closed
            if isinstance(error, Exception):
                visit.clear()
            visit.end()
            raise

    def _run(self, press: Press, visit: Visit) -> Iterator[tuple[RunStatus, Updates]]:
        form = [press.shown.get(name, gr.skip()) for name in ("seed", "prompt")]
        shown, status = RunView(), STARTING
        yield with_waiting(STARTING, visit), [*_changes(shown, shown), *form]
        plan = self._plan(press)
        news = run_views(
            plan,
            in_turn(self.core, plan, saved=True),
            write=write_pictures,
            save=partial(save_to_history, self.core),
            judge=verdicts_of,
            previous=press.original or visit.previous,
            twins=self.twins,
            link=self.link(plan.request),
            changed=press.changed,
        )
        try:
            for status, view in news:
                if view.result is not None and view.result is not visit.result:
                    _show(view.result, visit, press)
                yield with_waiting(status, visit), [*_changes(shown, view), gr.skip(), gr.skip()]
                shown = view
        except Exception as error:
            if visit.result is not None and visit.result.state == "running":
                steps = error.steps if isinstance(error, RunStopped) else None
                ended = visit.show(visit.result.ended(steps, status.count))
                yield status, [gr.skip(), gr.skip(), head_html(ended), gr.skip(), gr.skip()]
            raise

    def twins(self, result: RunResult) -> str:
        """The buttons that run a result again with one setting changed; "" for a batch."""
        if len(result.pictures) != 1:
            return ""
        return twins_html(result.request, result.pictures[0].file.source, self.core.models)

    def _plan(self, press: Press) -> Plan:
        if press.request is not None:
            return prepared(with_inputs(press.request, self.core.history), self.core)
        with pictures_by_name(press.settings):
            return prepare(press.settings, self.core, self.kind)

    def stopped(self, status: RunStatus, visit: Visit) -> Updates:
        """What is said of a run that was stopped, and its story; what waited behind it is dropped."""
        (text,), waiting = ended(status), visit.clear()
        if waiting:
            text += f" {counted(waiting, 'waiting run')} dropped."
        if visit.result is None or visit.result.state != "running":
            return [text, gr.skip()]
        return [text, head_html(visit.show(visit.result.ended(status.step, status.count)))]

    def arrived(self, visit: Visit, *values: object) -> Updates:
        """A link was opened and has set the form: pictures, strip and story of the result with its settings.

        It is one of this visit or of the history, else one that is not generated yet.
        """
        if visit.is_running:
            return [gr.skip()] * VIEWS
        given = self.given(values)
        given["prompt"] = str(given["prompt"]).strip() or label("prompt", self.kind).hint
        try:
            request = self._request(given)
        except Refusal:
            return [gr.skip()] * VIEWS  # the notice of the link says why already
        result = visit.find(request) or self._kept(request) or RunResult(request, "planned")
        return self._views(visit, result)

    def _kept(self, request: Resolved) -> RunResult | None:
        """The result of these settings in the history, if it is there."""
        record = None if self.core.history is None else kept_run(self.core.history, request)
        try:
            return None if record is None else result_of_run(record, self.core.limits, self.link(request))
        except OSError:
            return None  # deleted meanwhile

    def _request(self, given: Mapping[str, object]) -> Resolved:
        """The settings as they would be run here, also of a model that is not on this disk."""
        try:
            return prepare(given, self.core, self.kind).request
        except Refusal:
            return resolve(parse(self.kind, given), find(str(given["model"])), Budget())

    def _views(self, visit: Visit, result: RunResult) -> Updates:
        """Pictures, strip and story of a result that no run of this moment makes."""
        visit.show(result)
        pictures = result_html(result, twins=self.twins(result))
        return [pictures, "", head_html(result) + result.story]

    def link(self, request: Resolved) -> str:
        """The address that sets the form to these settings; "" where it cannot hold them."""
        if request.init_sha256 or isinstance(request, ResolvedExtrapolation):
            return ""
        return written("generate", {name: getattr(request, name) for name in self.names}, self.start)

    def model(self, name: str) -> Updates:
        """The values that a newly chosen model has of its own, and of what it lacks; the others stay."""
        spec = find(name)
        fields = self.kind.model_fields
        own = {setting for setting in fields if fields[setting].default is None}
        own |= foreign_options(spec).keys() | {"guidance"}
        return [
            update if setting in own else gr.skip()
            for setting, update in zip(self.names, self._filled(self._opening(spec), spec), strict=True)
        ]

    def example(self, index: int, model: str) -> Updates:
        """An example's settings over the model's own."""
        spec, chosen = find(model), EXAMPLES[index]
        return self._filled(self._opening(spec) | {"prompt": chosen.prompt, **chosen.settings}, spec)

    def receipt(self, file: str, visit: Visit) -> Updates:
        """A status, an empty place for the next file, the dropped picture itself, and its settings.

        Those of an extrapolation are behind a link to its own tab: this one has no controls for them.
        """
        path, skips = Path(file), [gr.skip() for _ in (*range(VIEWS), *self.names)]
        shown = f"“{path.name}”"
        try:
            found = read_receipt(path)
            model = model_on_offer(found, self.core.models)
            alone, spec = single_request(found, model), find(model)
            if isinstance(alone, ResolvedExtrapolation):
                link = escape(extrapolate_again.link(alone, self.core))
                there = f'<a href="{link}">Open its settings on the Extrapolate tab</a>'
                said = f"{escape(path.name)} is an extrapolation. {there}."
                views = self._opened(path, found, alone, visit)
                return [status_html(finished(said)), None, *views, *skips[VIEWS:]]
            said = f"The settings are those of {escape(path.name)}. Generate makes the same picture again."
            if alone.init_sha256:
                said += " It started from a picture: add that under Image to image."
            views = self._opened(path, found, alone, visit)
            values = build.values_of(alone, spec, self.kind)
            return [status_html(finished(said)), None, *views, *self._filled(values, spec)]
        except Refusal as error:
            said = sentence(Refusal(str(error).replace(str(path), shown)), titles(self.kind))
            return [status_html(failed(said)), None, *skips]

    def _opened(self, path: Path, receipt: Receipt, request: Resolved, visit: Visit) -> Updates:
        """The views of a picture's file; those of a run that goes on stay."""
        too_large = request.width * request.height > self.core.limits.picture_pixels
        if visit.is_running:
            return [gr.skip()] * VIEWS
        if too_large:
            return self._views(visit, RunResult(request, "planned"))
        return self._views(visit, result_of_file(path, receipt, request, self.link(request)))

    def start(self, asked: Mapping[str, object]) -> dict[str, Value]:
        """What the form holds at first, with the own values of the model that a link asks for.

        Raises Refusal for a model that is not offered.
        """
        name = str(asked.get("model", self.core.models[0]))
        if name not in self.core.models:
            raise Refusal(f"unknown model {name!r}; choose one of {', '.join(self.core.models)}")
        return self._opening(find(name)) | {"model": self.core.models[0]}

    def linked(self, values: Mapping[str, object]) -> Updates:
        """Every control for what a link says; a shift of `auto` is the number that it stands for."""
        held = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
        spec = find(str(held["model"]))
        if held["shift"] == "auto":
            held["shift"] = recommended_shift(spec, held["width"], held["height"])
        return self._filled(held, spec)

    def fits(self, values: Mapping[str, object]) -> None:
        """Raises Refusal for settings beyond what their model takes."""
        asked = {name: values[name] for name in self.names} | {"prompt": "-"}
        resolve(parse(self.kind, asked), find(str(values["model"])), Budget())

    def inactive(self, *values: Value) -> Updates:
        """Controls that change nothing now are greyed out and say why."""
        held = dict(zip(self.names, values, strict=True))
        spec = find(str(held["model"]))
        reasons = without_effect(held, spec)
        return [
            gr.update(
                interactive=name not in reasons,
                info=None if name == "model" else reasons.get(name) or help_of(name, self.kind),
            )
            for name in self.names
        ]

    def _opening(self, spec: ModelSpec) -> dict[str, Value]:
        return build.opening(spec, self.kind)

    def _filled(self, values: Mapping[str, Value], spec: ModelSpec) -> Updates:
        """Every control with its value, and its ends, which the model and the value move."""
        return [build.update(name, values[name], spec, self.kind) for name in self.names]


def is_wanted(visit: Visit) -> bool:
    """Whether a press waits that no run of this visit has taken."""
    return visit.begin()


def dropped(visit: Visit) -> None:
    """Stop was pressed before any run began: what waits is taken back."""
    visit.clear()


def ended(status: RunStatus) -> list[str]:
    """What is said of a run that was stopped."""
    return [
        f"Stopped after step {status.step} of {status.count}." if status.step else "Stopped before step 1."
    ]


def _show(result: RunResult, visit: Visit, press: Press) -> None:
    """Make this the visit's result; a finished twin is pinned beside its original."""
    visit.show(result)
    if result.state == "running" and find(result.request.model).judged:
        warm_judge()
    if result.is_whole:
        visit.finish()
    if result.is_whole and press.request is not None:
        (picture,) = result.pictures
        visit.pin(PinnedPicture(picture.file, result.request, picture.verdict), press.original_source)


def new_seed() -> int:
    """A seed at random."""
    return secrets.randbelow(LAST_SEED - 14)  # a batch of sixteen has a seed for each picture


def size(shape: str, model: str) -> tuple[int, int]:
    """The sides of a shape."""
    return size_of_shape(shape, find(model))


def shape_of(model: str, width: Value, height: Value) -> object:
    """The shapes of the model, and the one whose sides these are; half a number changes nothing."""
    whole = isinstance(width, int | float) and isinstance(height, int | float)
    spec = find(model)
    if not whole:
        return gr.update(choices=shape_choices(spec))
    return gr.update(choices=shape_choices(spec), value=shape_of_size(spec, int(width), int(height)))


def shift_for(model: str, width: Value, height: Value) -> object:
    """The shift that is recommended for a size."""
    try:
        return recommended_shift(find(model), width, height)
    except Refusal:
        return gr.skip()  # half a number, while it is typed


def shift_button(model: str, width: Value, height: Value) -> object:
    """The words on the button that takes it."""
    try:
        return recommendation(find(model), width, height)
    except Refusal:
        return gr.skip()


def _changes(shown: RunView, now: RunView) -> Updates:
    """Pictures, strip and story, each left alone where nothing is new."""
    pairs = ((shown.pictures, now.pictures), (shown.strip, now.strip), (shown.story, now.story))
    return [gr.skip() if after is None or before == after else after for before, after in pairs]
