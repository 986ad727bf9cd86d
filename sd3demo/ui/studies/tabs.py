"""Several studies in tabs of one place, and what a link says of them.

A study's panel is built when it is first looked at, or anew when a link asks for other settings. One hidden
text holds what a link says, as JSON: `study`, the name of the one that is open, and for each study either its
own settings among those of the tab or, under its name, a text such as `n:5;scenes:2`. A text that the page's
own controls wrote is marked, so that only a link opens a tab or builds a panel anew.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import time_ns
from typing import Any, Literal

import gradio as gr
from gradio.components import Component
from pydantic import Field, create_model

from sd3demo.settings import Settings, Text
from sd3demo.studies.study import find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import opening_of
from sd3demo.ui.controls.deep_links import PLAIN, Link, read, split, unavailable_note, written
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.controls.lazy_tab import OWN
from sd3demo.ui.run.run_status import failed, status_html
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.studies.handlers import allowed_settings
from sd3demo.ui.studies.panel import StudyGallery, study_panel

INSIDE = PLAIN.replace(":", "").replace(";", "")
"""Left as it is within a study's text, where `:` and `;` stand between settings."""


@dataclass(frozen=True)
class StudyTabs:
    """The tabs of a place: its studies, and the hidden text that holds what a link says of them."""

    names: tuple[str, ...]
    text: gr.Textbox

    def unfold(self, controls: Mapping[str, Component]) -> Callable[..., dict[str, object]]:
        """For `linked`: the settings of these controls and of the text, which comes last."""

        def unfolded(*values: object) -> dict[str, object]:
            *own, text = values
            return {**dict(zip(controls, own, strict=True)), **self.settings(text)}

        return unfolded

    def fill(
        self, controls: Mapping[str, Component], fill: Callable[[Mapping[str, object]], Sequence[object]]
    ) -> Callable[[Mapping[str, object]], list[object]]:
        """For `linked`: the updates of these controls, the first ones made by `fill`, and of the text."""

        def updates(values: Mapping[str, object]) -> list[object]:
            first = [*fill(values)]
            rest = [gr.update(value=values[name]) for name in [*controls][len(first) :]]
            return [*first, *rest, self.folded(values)]

        return updates

    def settings(self, text: object) -> dict[str, object]:
        """The settings of a link that the text holds."""
        held = json.loads(str(text))
        return {name: str(held.get(name, "")) for name in ("study", *self.names)}

    def folded(self, values: Mapping[str, object]) -> str:
        """The text for the settings of a link."""
        return json.dumps({name: str(values[name]) for name in ("study", *self.names)})

    def kind(self, base: type[Settings]) -> type[Settings]:
        """The settings of a link that holds these beside those of `base`."""
        fields: dict[str, Any] = {
            name: (Text, Field("", description="The study's settings.")) for name in self.names
        }
        fields["study"] = (Literal[self.names], Field(self.names[0], description="The study that is open."))
        return create_model(base.__name__, __base__=base, **fields)


@dataclass(frozen=True)
class OpenStudies:
    """What a visitor's page shows of a place: the study that is open, and the text of each that is built."""

    chosen: str
    texts: Mapping[str, str] = field(default_factory=dict)


def study_tabs(
    core: Core,
    tab_titles: Mapping[str, str],
    *,
    galleries: Mapping[str, StudyGallery] | None = None,
    fronts: Mapping[str, Sequence[str]] | None = None,
) -> StudyTabs:
    """Build the tabs of several studies, each under its name."""
    names = tuple(tab_titles)
    text = gr.Textbox(json.dumps({"study": names[0]}), visible="hidden")
    state = gr.State(OpenStudies(names[0]))
    built = {name: gr.Textbox("", visible="hidden") for name in names}
    with gr.Tabs(elem_classes="studies") as tabs:
        for name in names:
            id = f"study-tab-{name}"
            with gr.Tab(tab_titles[name], id=id, elem_id=id) as tab:
                at_once([tab.select], partial(_looked_at, name), [text, state], [text, state, built[name]])
                more = {"gallery": (galleries or {}).get(name), "front": (fronts or {}).get(name, ())}
                render = gr.render([text], [built[name].change], queue=False, show_progress="hidden")
                render(partial(_build, core, name, (text, state), more))
    at_once([text.change], partial(_follow_link, names), [text, state], [tabs, state, *built.values()])
    return StudyTabs(names, text)


def packed(core: Core, name: str, *values: object) -> str:
    """What a study's controls hold, as the text of a link; empty as it opens."""
    kind = find_study(name).settings
    start = opening_of(kind, core.models)
    text = written(name, dict(zip(kind.model_fields, values, strict=True)), lambda _: start, plain=INSIDE)
    _, _, settings = text.partition("?")
    return settings.replace("+", " ").replace("=", ":").replace("&", ";")


def unpacked(core: Core, name: str, text: str) -> tuple[dict[str, object], list[str]]:
    """What a study's controls hold for the text of a link, and a sentence for each setting not to be had."""
    study = find_study(name)
    start = opening_of(study.settings, core.models)
    check = partial(allowed_settings, core, study)
    link = Link(name, study.settings, {}, lambda _: start, lambda _: [], titles(study.settings), check=check)
    _, given = split(f"#/{name}?" + text.replace(":", "=").replace(";", "&"))
    return read(link, given)


def _build(
    core: Core, name: str, place: tuple[gr.Textbox, gr.State], more: Mapping[str, Any], text: str
) -> None:
    values, faults = unpacked(core, name, str(json.loads(text).get(name, "")))
    error = status_html(failed(unavailable_note(faults))) if faults else ""
    controls = [*study_panel(core, name, values, error=error, **more).values()]
    changed = [one.change for one in controls]
    at_once(changed, partial(_kept, core, name), [*place, *controls], [*place], raw=True)


def _kept(core: Core, name: str, text: str, state: OpenStudies, *values: object) -> list[object]:
    """The link and the state after a control of a study was moved."""
    own, link = packed(core, name, *values), json.loads(text)
    if link.get(name, "") == own:  # a panel that was just built says so, and is not to write over another's
        return [gr.skip(), gr.skip()]
    return [json.dumps({**link, name: own, OWN: True}), replace(state, texts={**state.texts, name: own})]


def _looked_at(name: str, text: str, state: OpenStudies) -> list[object]:
    """A tab that is looked at is built, once, and is the one of the link, unless a link asks for another."""
    link = json.loads(text)
    anew: object = gr.skip()  # a link may come meanwhile, and is not to be anew over without need
    if link["study"] in (state.chosen, name):
        state = replace(state, chosen=name)
        if link["study"] != name:
            anew = json.dumps({**link, "study": name, OWN: True})
    if name in state.texts:
        return [anew, state, gr.skip()]
    texts = {**state.texts, name: str(link.get(name, ""))}
    return [anew, replace(state, texts=texts), str(time_ns())]


def _follow_link(names: Sequence[str], text: str, state: OpenStudies) -> list[object]:
    """The tab that a link asks for, and anew each study that is built and holds something else."""
    link = json.loads(text)
    if OWN in link:
        return [gr.skip() for _ in range(2 + len(names))]
    study = link["study"]
    anew = {
        name: str(link.get(name, ""))
        for name in names
        if state.texts.get(name, str(link.get(name, ""))) != str(link.get(name, ""))
    }
    return [
        gr.skip() if study == state.chosen else gr.Tabs(selected=f"study-tab-{study}"),
        replace(state, texts={**state.texts, **anew}),
        *(str(time_ns()) if name in anew else gr.skip() for name in names),
    ]
