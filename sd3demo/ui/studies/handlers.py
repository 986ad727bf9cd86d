"""What a study on the page answers: its results as they come, what its button says, how it was stopped."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from html import escape
from typing import TYPE_CHECKING, TypeAlias

import gradio as gr

from sd3demo.catalogue import depths
from sd3demo.errors import Refusal
from sd3demo.settings import Settings, parse
from sd3demo.studies.study import Measured, Study, Table, cached_cells, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.run.as_code_view import study_as_code_html
from sd3demo.ui.run.plots import drawn
from sd3demo.ui.run.run_status import RunStatus, finished, running, waiting
from sd3demo.ui.server.ticket import Waiting
from sd3demo.ui.studies import table_view
from sd3demo.ui.studies.in_turn import refuse_where_off, study_in_turn

if TYPE_CHECKING:
    from gradio.components.plot import PlotData

MOST = 200  # of n and the like on the page; the command line takes more
PAUSE = 1.0  # seconds between two tables of a study that is running
DONE = "Show results"

Gallery: TypeAlias = Callable[[Sequence[Measured]], str]
"""What more is shown of the cells measured so far, as HTML."""


def run_study(
    core: Core, name: str, gallery: Gallery | None, *values: object
) -> Iterator[tuple[RunStatus, list[object]]]:
    """A study from its click to its table: note, table, button, the table itself, charts, and the gallery.

    Closing this closes the study, and what was measured is saved where runs are.
    """
    study = find_study(name)
    refuse_where_off(core)
    settings = allowed_settings(core, study, _named(study, values))
    measured: list[Measured] = []
    shown_at, started = 0.0, time.monotonic()

    def views(table: Table, button: object, code: str = "") -> list[object]:
        more = [gallery(measured)] if gallery else []
        return ["", table_view.listing(table) + code, button, table, *charts(study, table), *more]

    with closing(study_in_turn(core, study, settings)) as news:
        for one in news:
            if isinstance(one, Waiting):
                if not measured:
                    yield waiting(one), [gr.skip()] * (4 + len(study.charts) + bool(gallery))
                continue
            if isinstance(one, Table):
                said = f"{len(measured)} measured, {_duration(time.monotonic() - started)}."
                yield finished(said), views(one, DONE, study_as_code_html(name, settings))
                return
            measured.append(one)
            if time.monotonic() - shown_at > PAUSE:
                shown_at = time.monotonic()
                yield progress(one), views(study.table(settings, measured), gr.skip())


def allowed_settings(core: Core, study: Study, values: Mapping[str, object]) -> Settings:
    """The settings of these values, the others by default. Raises Refusal for what this page does not do."""
    for one in ("n", "scenes"):
        given = values.get(one)
        if isinstance(given, int | float) and given > MOST:
            raise Refusal(f"{one} is {given:g}; on the page it must lie in [1, {MOST}], more by command line")
    settings = parse(study.settings, values)
    family = depths()  # they come with each other
    offered = {*core.models, *(family if set(family) & set(core.models) else ())}
    for model in study.models(settings):
        if model not in offered:  # a page does not open whatever folder its visitors name
            raise Refusal(f"unknown model {model!r}; choose one of {', '.join(core.models)}")
    return settings


def button_text(core: Core, name: str, *values: object) -> str:
    """What the button says: whether some of what is asked for is measured already."""
    study = find_study(name)
    try:
        settings = allowed_settings(core, study, _named(study, values))
        done, count = cached_cells(study, settings, core.studies)
    except ValueError:
        return "Run"
    if done == count:
        return DONE
    return f"Resume ({done} of {count} done)" if done else "Run"


def ended(core: Core, name: str, status: RunStatus, *values: object) -> list[object]:
    """What is said of a study that was stopped, and what its button says then."""
    said = "Results are saved; Resume continues from here." if core.studies else "This page saves no results."
    return [f"Stopped. {said}", button_text(core, name, *values)]


def charts(study: Study, table: Table) -> "list[PlotData | None]":
    """The charts of a study's table; None for one of which nothing is known."""
    from sd3demo.plots.chart import has_values
    from sd3demo.plots.studies import CHARTS

    all_charts = (CHARTS[name](table) for name in study.charts)
    return [drawn(chart) if has_values(chart) else None for chart in all_charts]


def progress(one: Measured) -> RunStatus:
    """How much is measured, what was measured last, and the seconds that are left."""
    arm = ", ".join(f"{name} {value}" for name, value in one.cell.arm.items())
    left = f", about {_duration(one.left)} left" if one.left else ""
    text = f"{one.done} of {one.count}{left}" + (f" · {escape(arm)}" if arm else "")
    return running(text, step=one.done, count=one.count)


def _named(study: Study, values: Sequence[object]) -> dict[str, object]:
    return dict(zip(study.settings.model_fields, values, strict=True))


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
