"""A study on the page: its settings, Run and Stop, progress, and its table and charts as they fill.

`study_panel(core, "path-length")` is all that a tab has to say. What was measured is kept, so that a study
that was stopped goes on where it stood; it stands in the one line in which all runs of a model stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.catalogue import find
from sd3demo.settings import Settings
from sd3demo.studies.study import STUDIES, Table, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls import build as controls
from sd3demo.ui.run.plots import SAVED, Frame, frame, savable
from sd3demo.ui.run.stopping import stops, waits
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.studies import table_view as tabled
from sd3demo.ui.studies.handlers import Extra, answers, labelled, stopped
from sd3demo.ui.studies.recorded_view import Before, before, first_look

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

FRONT = ("along", "values", "budgets", "solvers", "scales", "models", "n", "scenes", "categories")
"""Settings that always stand in front, beside those that hold several values; the others are folded away."""


@dataclass(frozen=True)
class Panel:
    """The parts of a study on the page."""

    name: str
    controls: Mapping[str, controls.Control]
    run: gr.Button
    stop: gr.Button
    status: gr.HTML
    table: gr.HTML
    frames: tuple[Frame, ...]
    running: Dependency


def study_panel(
    core: Core,
    name: str,
    *,
    front: Sequence[str] = (),
    also: Sequence[Component] = (),
    extra: Extra | None = None,
    when: gr.Tab | None = None,
    values: Mapping[str, Any] | None = None,
    told: str = "",
) -> Panel:
    """A study in the tab that is being built. `extra` fills the outputs `also` as cells come.

    `values` are what its controls open with, and `told` stands as its status.

    What was recorded of it is drawn at once, or, on a page that nobody looks at yet, with the first look at
    the tab `when`: plotly comes in then.
    """
    study = find_study(name)
    values = values or controls.opening_of(study.settings, core.models)
    first = front or _front(study.settings)
    made: dict[str, controls.Control] = {}

    def place(names: Sequence[str]) -> None:
        for one in names:
            id = f"set-{name}-{one.replace('_', '-')}"
            made[one] = controls.control(
                one,
                values[one],
                kind=study.settings,
                spec=find(core.models[0]),
                elem_id=id,
                models=core.models,
            )

    with gr.Row(elem_classes="lesson study", elem_id=f"study-{name}"):
        with gr.Column(elem_classes="knobs", min_width=260):
            gr.HTML(f"<h3>{escape(STUDIES[name])}</h3>")
            with gr.Row(elem_classes="study-buttons"):
                start = gr.Button(
                    "Run", variant="primary", elem_id=f"study-{name}-run", scale=3, min_width=90
                )
                stop = gr.Button("Stop", elem_id=f"study-{name}-stop", scale=1, min_width=70)
            status = gr.HTML(told, elem_id=f"study-{name}-status", elem_classes="study-status")
            place(first)
            with gr.Accordion("More settings", open=False):
                place([one for one in study.settings.model_fields if one not in first])
        had = before(core, name) if when is None else Before("", None, [None] * len(study.charts))
        with gr.Row(elem_classes="views"):
            note = gr.HTML(had.note, elem_id=f"study-{name}-before", elem_classes="study-before")
            places = zip(study.charts, had.plots, strict=True)
            frames = tuple(frame(_place(name, chart), plot) for chart, plot in places)
            with gr.Column(elem_classes="study-numbers", min_width=260):
                table = gr.HTML(had.listing, elem_id=f"study-{name}-table")
                there = had.table is not None
                take = gr.Button("Table as CSV", size="sm", visible=there, elem_id=f"study-{name}-csv")
                for one in also:
                    one.render()

    ordered = {one: made[one] for one in study.settings.model_fields}
    shown = gr.State(had.table, time_to_live=3600)
    drawings = [place.plot for place in frames]
    outputs = [status, note, table, take, start, shown, *drawings, *also]
    inputs: list[Component] = [*ordered.values()]
    if when is not None:
        looks = [note, table, take, shown, *drawings]
        at_once([when.select], partial(first_look, core, name), [shown], looks)
    waits([start.click], status)
    running = start.click(
        partial(answers, core, name, extra, len(also)),
        inputs,
        outputs,
        preprocess=False,  # the settings check their values, and their sentence says more
        show_progress="minimal",
        show_progress_on=status,
        concurrency_limit=1,
        concurrency_id="model",
        api_visibility="private",
    )
    stops(stop, [running], status, partial(stopped, core, name), [status, *inputs], [status, start])
    changed = [one.change for one in ordered.values()]
    at_once(changed, partial(labelled, core, name), inputs, [start], raw=True)
    _downloads(name, frames, take, shown)
    return Panel(name, ordered, start, stop, status, table, frames, running)


def _front(kind: type[Settings]) -> tuple[str, ...]:
    """The settings in front: those that say what is varied, and how much of it."""
    several = [one for one, field in kind.model_fields.items() if "," in str(field.default)]
    return tuple(one for one in kind.model_fields if one in several or one in FRONT)


def _downloads(name: str, frames: Sequence[Frame], take: gr.Button, shown: gr.State) -> None:
    text = gr.Textbox(visible="hidden")
    written = at_once([take.click], partial(_written, name), [shown], [text])
    written.success(None, [text], None, js=SAVED, api_visibility="private")
    charts = {_place(name, chart): chart for chart in find_study(name).charts}
    savable(frames, partial(_chart, charts), [shown], raw=False)


def _written(name: str, table: Table | None) -> str:
    return f"{name}\n{tabled.as_csv(_known(table))}"


def _place(name: str, chart: str) -> str:
    """What a chart's place is called: studies may share a chart, and a page holds several studies."""
    return chart if chart == name or chart.startswith(f"{name}-") else f"{name}-{chart}"


def _chart(charts: Mapping[str, str], place: str, table: Table | None) -> "Chart":
    from sd3demo.plots.studies import CHARTS

    return CHARTS[charts[place]](_known(table))


def _known(table: Table | None) -> Table:
    if table is None:
        raise gr.Error("There is no table yet; press Run first.", print_exception=False)
    return table
