"""What the page answers to each thing that a person does in the Generate tab."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TypeAlias

import gradio as gr

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import near_native, resolve
from sd3demo.errors import Refusal
from sd3demo.history import model_on_offer, read_receipt, single_request
from sd3demo.settings import FILES, LAST_SEED, Request, foreign_options, parse, without_effect
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.controls import build
from sd3demo.ui.controls.build import Value
from sd3demo.ui.controls.labels import help_of, label, titles
from sd3demo.ui.extrapolate import reopen as extrapolate_again
from sd3demo.ui.generate.examples import EXAMPLES
from sd3demo.ui.generate.size import (
    recommendation,
    recommended_shift,
    shape_choices,
    shape_of_size,
    size_of_shape,
)
from sd3demo.ui.generate.stream import PreviousRun, RunView, run_views
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.files import save_to_history, write_pictures
from sd3demo.ui.run.own_picture import OwnPicture, opened_picture, pictures_by_name
from sd3demo.ui.run.run_status import STARTING, RunStatus, failed, finished, status_html
from sd3demo.ui.run.turns import in_turn

Updates: TypeAlias = list[object]
"""For each output a value, `gr.update(...)`, or `gr.skip()`."""


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

    def run(
        self, previous: PreviousRun | None, reseed: bool, *values: object
    ) -> Iterator[tuple[RunStatus, Updates]]:
        """The run that the form asks for: pictures, strip, story, files, what it was, its seed and prompt.

        Without a prompt it is the one that the empty field shows.
        """
        given = self.given(values)
        if not str(given["prompt"]).strip():
            given["prompt"] = label("prompt", self.kind).hint
        if reseed:
            given["seed"] = new_seed()
        shown = RunView()
        yield STARTING, [*_changes(shown, shown), gr.skip(), given["seed"], given["prompt"]]
        with pictures_by_name(given):
            plan = prepare(given, self.core, self.kind)
        save = partial(save_to_history, self.core)
        events = in_turn(self.core, plan, saved=True)
        news = run_views(plan, events, write=write_pictures, save=save, previous=previous)
        for status, view in news:
            yield status, [*_changes(shown, view), view.previous or gr.skip(), gr.skip(), gr.skip()]
            shown = view

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

    def receipt(self, file: str) -> Updates:
        """A status, an empty place for the next file, and the settings of a dropped picture.

        Those of an extrapolation are behind a link to its own tab: this one has no controls for them.
        """
        path, skips = Path(file), [gr.skip() for _ in self.names]
        shown = f"“{path.name}”"
        try:
            found = read_receipt(path)
            model = model_on_offer(found, self.core.models)
            alone, spec = single_request(found, model), find(model)
            if isinstance(alone, ResolvedExtrapolation):
                link = escape(extrapolate_again.link(alone, self.core))
                there = f'<a href="{link}">Open its settings on the Extrapolate tab</a>'
                said = f"{escape(path.name)} is an extrapolation. {there}."
                return [status_html(finished(said)), None, *skips]
            said = f"The settings are those of {escape(path.name)}. Generate makes the same picture again."
            if alone.init_sha256:
                said += " It started from a picture: add that under Image to image."
            values = build.values_of(alone, spec, self.kind)
            return [status_html(finished(said)), None, *self._filled(values, spec)]
        except Refusal as error:
            said = sentence(Refusal(str(error).replace(str(path), shown)), titles(self.kind))
            return [status_html(failed(said)), None, *skips]

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


def ended(status: RunStatus) -> list[str]:
    """What is said of a run that was stopped."""
    return [
        f"Stopped after step {status.step} of {status.count}." if status.step else "Stopped before step 1."
    ]


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
    """Pictures, strip, story and files, each left alone where nothing is new."""
    pairs = (
        (shown.pictures, now.pictures),
        (shown.strip, now.strip),
        (shown.story, now.story),
        (shown.files, now.files and [file.path for file in now.files]),
    )
    return [gr.skip() if after is None or before == after else after for before, after in pairs]
