"""Several studies in tabs of their own, and what a link says of them: which is open, and each one's settings.

A study is built when it is first looked at. What it is to be built from, and what it then holds, stands in
a hidden text, which is what a link holds of it: `few-steps=n:5;scenes:2`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import time_ns
from typing import Any, Literal

import gradio as gr
from pydantic import Field, create_model

from sd3demo.settings import Settings, Text
from sd3demo.studies.study import find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls import build as controls
from sd3demo.ui.controls.deep_links import PLAIN, Link, read, split, told_of, written
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run import status as words
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.studies.handlers import asked
from sd3demo.ui.studies.panel import study_panel


@dataclass(frozen=True)
class Place:
    """Hidden texts of a study: its settings, those that its panel knows of, and when it was built."""

    held: gr.Textbox
    had: gr.Textbox
    built: gr.Textbox


@dataclass(frozen=True)
class Studies:
    """What a link holds of several studies."""

    controls: Mapping[str, gr.Textbox]
    """`study`, the name of the one that is open, and under each one's name its settings."""

    def kind(self, base: type[Settings]) -> type[Settings]:
        """The settings of a link that holds these beside others."""
        names = tuple(name for name in self.controls if name != "study")
        fields: dict[str, Any] = {
            name: (Text, Field("", description="The study's settings.")) for name in names
        }
        fields["study"] = (Literal[names], Field(names[0], description="The study that is open."))
        return create_model(base.__name__, __base__=base, **fields)


def studies(core: Core, tab_titles: Mapping[str, str]) -> Studies:
    """Several studies in tabs, by their names."""
    names = tuple(tab_titles)
    study, chosen = _hidden(names[0]), _hidden(names[0])
    places = {name: Place(_hidden(), _hidden(), _hidden()) for name in names}
    with gr.Tabs(elem_classes="studies") as tabs:
        for name, place in places.items():
            id = f"study-tab-{name}"
            with gr.Tab(tab_titles[name], id=id, elem_id=id) as tab:
                told = [place.had, place.built]
                looks = [study, chosen, place.held, *told]
                at_once([tab.select], partial(_looked, name), looks, [study, chosen, *told])
                draw = partial(_built, core, name, place)
                render = gr.render([place.held], [place.built.change], queue=False, show_progress="hidden")
                render(draw)
    held, had, built = (
        [getattr(place, part) for place in places.values()] for part in ("held", "had", "built")
    )
    moved = [study.change, *(text.change for text in held)]
    at_once(moved, _followed, [study, chosen, *held, *had, *built], [tabs, *had, *built])
    return Studies({"study": study, **dict(zip(names, held, strict=True))})


def packed(core: Core, name: str, *values: object) -> str:
    """What a study's controls hold, as the text of a link; empty as it opens."""
    kind = find_study(name).settings
    start = controls.opening_of(kind, core.models)
    text = written(name, dict(zip(kind.model_fields, values, strict=True)), lambda _: start, plain=INSIDE)
    _, _, settings = text.partition("?")
    return settings.replace("+", " ").replace("=", ":").replace("&", ";")


def unpacked(core: Core, name: str, text: str) -> tuple[dict[str, object], list[str]]:
    """What a study's controls hold for the text of a link, and a sentence for each setting not to be had."""
    study = find_study(name)
    start = controls.opening_of(study.settings, core.models)
    check = lambda values: asked(core, study, [values[one] for one in study.settings.model_fields])  # noqa: E731
    link = Link(name, study.settings, {}, lambda _: start, lambda _: [], titles(study.settings), check=check)
    _, given = split(f"#/{name}?" + text.replace(":", "=").replace(";", "&"))
    return read(link, given)


INSIDE = PLAIN.replace(":", "").replace(";", "")
"""Left as it is within a study's text, where `:` and `;` stand between settings."""


def _built(core: Core, name: str, place: Place, held: str) -> None:
    values, faults = unpacked(core, name, held)
    panel = study_panel(core, name, values=values, told=words.failed(told_of(faults)) if faults else "")
    every = list(panel.controls.values())
    texts = [place.held, place.had]
    at_once([one.change for one in every], partial(_kept, core, name), every, texts, raw=True)


def _kept(core: Core, name: str, *values: object) -> list[str]:
    return [packed(core, name, *values)] * 2


def _looked(name: str, study: str, chosen: str, held: str, had: str, built: str) -> list[object]:
    """A tab that is looked at is built, once, and is the one of the link, unless a link asks for another."""
    waits = study not in (chosen, name)
    first = [held, str(time_ns())]
    return [*([gr.skip()] * 2 if waits else [name] * 2), *([gr.skip()] * 2 if built else first)]


def _followed(study: str, chosen: str, *texts: str) -> list[object]:
    """The tab that a link asks for, and anew each study that is there and holds something else."""
    count = len(texts) // 3
    held, had, built = texts[:count], texts[count : 2 * count], texts[2 * count :]
    anew = [bool(there) and now != before for now, before, there in zip(held, had, built, strict=True)]
    return [
        gr.skip() if study == chosen else gr.Tabs(selected=f"study-tab-{study}"),
        *(now if other else gr.skip() for now, other in zip(held, anew, strict=True)),
        *(str(time_ns()) if other else gr.skip() for other in anew),
    ]


def _hidden(text: str = "") -> gr.Textbox:
    return gr.Textbox(text, visible="hidden")
