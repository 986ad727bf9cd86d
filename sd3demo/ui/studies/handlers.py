"""What a study on the page answers: its news as they come, what its button says, how it was stopped."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from html import escape
from typing import TypeAlias

import gradio as gr

from sd3demo.catalogue import depths
from sd3demo.errors import Refusal
from sd3demo.settings import Settings, parse
from sd3demo.studies.cache import kept_at_home
from sd3demo.studies.study import Measured, Study, Table, find_study, run, standing
from sd3demo.ui.context import Core
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.generate.stream import sentence
from sd3demo.ui.run import status as words
from sd3demo.ui.run.plots import drawn
from sd3demo.ui.studies import table_view as tabled

MOST = 200  # of n and the like on the page; the command line takes more
PAUSE = 1.0  # seconds between two tables of a study that is running

Extra: TypeAlias = Callable[[Sequence[Measured]], Sequence[object]]
"""What more a tab shows of the cells measured so far, as updates of its own outputs."""


def answers(
    core: Core, name: str, extra: Extra | None, extras: int, *values: object
) -> Generator[list[object], None, None]:
    """A study from its click to its table, or to the sentence that says why there is none.

    Closing this closes the study, and what was measured is kept.
    """
    study = find_study(name)
    nothing = [gr.skip()] * (5 + len(study.charts) + extras)
    yield [words.waking(), *nothing]
    try:
        settings = allowed_settings(core, study, dict(zip(study.settings.model_fields, values, strict=True)))
        with closing(run(study, settings, core.engine(), kept_at_home())) as news:
            yield from _shown(study, settings, news, extra, extras)
    except Exception as error:
        yield [words.failed(sentence(error, titles(study.settings))), *nothing]


def allowed_settings(core: Core, study: Study, values: Mapping[str, object]) -> Settings:
    """The settings of these values, the others by default. Raises Refusal for what this page does not do."""
    named = dict(values)
    for one in ("n", "scenes"):
        given = named.get(one)
        if isinstance(given, int | float) and given > MOST:
            raise Refusal(f"{one} is {given:g}; on the page it must lie in [1, {MOST}], more by command line")
    settings = parse(study.settings, named)
    family = depths()  # they come with each other
    offered = {*core.models, *(family if set(family) & set(core.models) else ())}
    for model in study.models(settings):
        if model not in offered:  # a page does not open whatever folder its visitors name
            raise Refusal(f"unknown model {model!r}; choose one of {', '.join(core.models)}")
    return settings


def labelled(core: Core, name: str, *values: object) -> object:
    """What the button says: whether some of what is asked for was measured before."""
    study = find_study(name)
    try:
        done, count = standing(study, allowed_settings(core, study, dict(zip(study.settings.model_fields, values, strict=True))), kept_at_home())
    except ValueError:
        return gr.update(value="Run")
    if done == count:
        return gr.update(value="Show: all is measured")
    return gr.update(value=f"Resume: {done} of {count} are measured" if done else "Run")


def stopped(core: Core, name: str, status: str, *values: object) -> list[object]:
    """What is said when Stop was pressed: what was measured is kept."""
    if "<progress" not in (status or "") or words.WAITING in status:
        return turned_away(core, name, status, *values)
    said = '<p class="done" role="status">Stopped. What was measured is kept, and Resume goes on from it.</p>'
    return [said, labelled(core, name, *values)]


def turned_away(core: Core, name: str, status: str, *values: object) -> list[object]:
    """What is said when a study ended before it began: stopped while it waited, or refused by a full line."""
    waited = words.WAITING in (status or "")
    return [words.not_started() if waited else gr.skip(), labelled(core, name, *values)]


def _shown(
    study: Study,
    settings: Settings,
    news: Iterator[Measured | Table],
    extra: Extra | None,
    extras: int,
) -> Iterator[list[object]]:
    measured: list[Measured] = []
    told, started = 0.0, time.monotonic()
    for one in news:
        if isinstance(one, Table):
            seconds = time.monotonic() - started
            done = f'<p class="done" role="status">{len(measured)} measured, {_lasted(seconds)}.</p>'
            more = extra(measured) if extra else []
            yield [
                done,
                *_views(study, one),
                gr.update(value="Show: all is measured"),
                *_tail(study, one),
                *more,
            ]
        else:
            measured.append(one)
            if time.monotonic() - told > PAUSE:
                told = time.monotonic()
                table = study.table(settings, measured)
                more = extra(measured) if extra else []
                yield [bar(one), *_views(study, table), gr.skip(), *_tail(study, table), *more]


def _views(study: Study, table: Table) -> list[object]:
    """The note on what stood here before, which ends, the table, and its button."""
    return ["", tabled.listing(table), gr.update(visible=True)]


def _tail(study: Study, table: Table) -> list[object]:
    from sd3demo.plots.studies import CHARTS

    return [table, *(drawn(CHARTS[name](table)) for name in study.charts)]


def bar(one: Measured) -> str:
    """A bar with what is measured, and the seconds that are left."""
    arm = ", ".join(f"{name} {value}" for name, value in one.cell.arm.items())
    left = f", about {_lasted(one.left)} left" if one.left else ""
    told = f'max="{one.count}" value="{one.done}" aria-label="Progress"'
    return (
        f'<div class="progress"><progress {told}></progress>'
        f"<p><span>{one.done} of {one.count}{left}</span><span>{escape(arm)}</span></p></div>"
    )


def _lasted(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
