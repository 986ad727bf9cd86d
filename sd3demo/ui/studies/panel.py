"""A study on the page: its settings, Run and Stop, progress, and its table and charts as they fill.

What was measured is saved, so that a study that was stopped goes on where it stood; it stands in the queue in
which all runs of a model stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from sd3demo.catalogue import find
from sd3demo.settings import Settings
from sd3demo.studies.study import STUDIES, Table, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import Control, control
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run.plots import PlotPlace, frame, numbers
from sd3demo.ui.run.wiring import at_once, run_in_queue, stop_runs
from sd3demo.ui.studies import table_view
from sd3demo.ui.studies.handlers import Gallery, button_text, ended, run_study
from sd3demo.ui.studies.in_turn import OFF
from sd3demo.ui.studies.recorded_view import recorded_view

SHOWN_CHARTS = 2
"""Of a study; seven of them are five screens of a phone."""
FRONT = ("along", "values", "budgets", "solvers", "scales", "models", "n", "scenes", "categories")
"""Settings that always stand in front, beside those that hold several values; the others are folded away."""


@dataclass(frozen=True)
class StudyGallery:
    """A place for what a study shows beside its table: its HTML before a run, and for what was measured."""

    elem_id: str
    empty: str
    html: Gallery


def study_panel(
    core: Core,
    name: str,
    values: Mapping[str, Any],
    *,
    error: str = "",
    front: Sequence[str] = (),
    gallery: StudyGallery | None = None,
) -> dict[str, Control]:
    """Build the panel of a study and return its controls, in the order of its settings.

    `values` are what the controls open with, and `error` stands as its status, as HTML. What was recorded of
    the study is drawn at once.
    """
    study = find_study(name)
    first = front or _front(study.settings)
    controls: dict[str, Control] = {}

    def place(names: Sequence[str]) -> None:
        for one in names:
            controls[one] = control(
                one,
                values[one],
                kind=study.settings,
                spec=find(core.models[0]),
                elem_id=f"set-{name}-{one.replace('_', '-')}",
                models=core.models,
            )

    recorded = recorded_view(core, name)
    with gr.Row(elem_classes="lesson study", elem_id=f"study-{name}"):
        with gr.Column(elem_classes="knobs", min_width=260):
            gr.HTML(f"<h3>{escape(STUDIES[name])}</h3>")
            with gr.Row(elem_classes="study-buttons"):
                start = gr.Button(
                    "Run",
                    variant="primary",
                    elem_id=f"study-{name}-run",
                    scale=3,
                    min_width=90,
                    interactive=core.limits.studies,
                )
                stop = gr.Button("Stop", elem_id=f"study-{name}-stop", scale=1, min_width=70)
            if not core.limits.studies:
                error = error or f'<p class="hint">{OFF.capitalize().replace("`", "")}.</p>'
            status = gr.HTML(error, elem_id=f"study-{name}-status", elem_classes="study-status")
            place(first)
            with gr.Accordion("More settings", open=False):
                place([one for one in study.settings.model_fields if one not in first])
        with gr.Row(elem_classes="views"):
            note = gr.HTML(recorded.note, elem_id=f"study-{name}-before", elem_classes="study-before")
            names = [chart_place(name, chart) for chart in study.charts]
            frames = _frames([*zip(names, recorded.plots, strict=True)])
            with gr.Column(elem_classes="study-numbers", min_width=260):
                table = gr.HTML(recorded.listing, elem_id=f"study-{name}-table")
                more = [gr.HTML(gallery.empty, elem_id=gallery.elem_id)] if gallery else []

    ordered = {one: controls[one] for one in study.settings.model_fields}
    inputs = [*ordered.values()]
    shown = gr.State(recorded.table, time_to_live=3600)
    outputs = [note, table, start, shown, *(one.plot for one in frames), *more]
    answer = partial(run_study, core, name, gallery.html if gallery else None)
    run = run_in_queue([start.click], answer, inputs, outputs, status=status, titles=titles(study.settings))
    stop_runs(stop, [run], ended=partial(ended, core, name), inputs=inputs, outputs=[start])
    changed = [one.change for one in inputs]
    at_once(changed, partial(button_text, core, name), inputs, [start], raw=True)
    charts = dict(zip(names, study.charts, strict=True))
    numbers([*names, table_view.csv_name(name)], partial(_csv, charts), [shown], raw=False)
    return ordered


def _frames(charts: Sequence[tuple[str, PlotData | None]]) -> list[PlotPlace]:
    """The places of the charts, by name and value: the first that show something, the others folded away."""
    front = sorted(charts, key=lambda one: one[1] is None)[:SHOWN_CHARTS]  # the order stays otherwise
    rest = [one for one in charts if one not in front]
    places = {one[0]: frame(*one) for one in front}
    if rest:
        with (
            gr.Accordion("More charts", open=False, elem_classes="more-charts"),
            gr.Row(elem_classes="views"),
        ):
            places |= {one[0]: frame(*one) for one in rest}
    return [places[name] for name, _ in charts]


def chart_place(name: str, chart: str) -> str:
    """What a chart's place is called: studies may share a chart, and a page holds several studies."""
    return chart if chart == name or chart.startswith(f"{name}-") else f"{name}-{chart}"


def _front(kind: type[Settings]) -> tuple[str, ...]:
    """The settings in front: those that say what is varied, and how much of it."""
    several = [one for one, field in kind.model_fields.items() if "," in str(field.default)]
    return tuple(one for one in kind.model_fields if one in several or one in FRONT)


def _csv(charts: Mapping[str, str], place: str, table: Table | None) -> str:
    """The numbers of a chart, or of the whole table."""
    from sd3demo.plots.chart import csv
    from sd3demo.plots.studies import CHARTS

    if table is None:
        raise gr.Error("There is no table yet; press Run first.", print_exception=False)
    return csv(CHARTS[charts[place]](table)) if place in charts else table_view.as_csv(table)
