"""What the Trajectories tab answers: a trace opened, recorded or compared, and all that is drawn of it.

Nothing here needs a model until somebody generates: a trace holds all that its plots show.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Plan
from sd3demo.engine.events import Encoded, Finished, Loading, StepDone, Stopped
from sd3demo.engine.record.traces import Trace, recorded, traces_of
from sd3demo.errors import Refusal
from sd3demo.history.traces import SUFFIX, read_trace, shipped, to_file
from sd3demo.settings import counted
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.controls import form
from sd3demo.ui.generate.stream import TITLES, sentence
from sd3demo.ui.run import pictures as canvas
from sd3demo.ui.run import status as words
from sd3demo.ui.run.plots import drawn
from sd3demo.ui.trajectories import attention_view as attended
from sd3demo.ui.trajectories import film
from sd3demo.ui.trajectories import story as pathwords

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

Updates: TypeAlias = list[object]

PROMPT = "a red circle above a blue square"
NAMES = ("prompt", "seed", "steps", "cfg", "shift", "solver", "t5")
"""The settings that matter to a path; the others are the model's own."""
PLOTS = ("move-lengths", "travelled", "angles", "projection", "guidance-norms", "guidance-angle")
PARTS = ("status", "film", "told", "context", "stretched", "attention", "link")
"""The HTML that a trace fills, beside its plots and itself."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The trace on the page, the one that was there before, and its name where it came with the package."""

    trace: Trace
    before: Trace | None = None
    name: str = ""


def first(shown: Shown | None, compared: bool, name: str) -> Updates:
    """The trace that a link names, else the first of those that ship, where none is shown yet."""
    if shown:
        return [gr.skip()] * (len(PARTS) + len(PLOTS) + 1)
    return example(name or next(iter(names()), ""), None, compared)


def example(name: str, shown: Shown | None, compared: bool) -> Updates:
    """One of the traces that ship, by its name; nothing without a name, or where it is the one shown."""
    try:
        if not shipped():
            raise Refusal("no trace came with this installation; press Generate to record one")
        if not name or (shown and shown.name == name):
            return [gr.skip()] * (len(PARTS) + len(PLOTS) + 1)
        file = shipped()[names().index(known(name))]
        return _all(_next(read_trace(file), shown, name), compared)
    except Exception as error:
        return _refused(error)


def names() -> list[str]:
    """What the traces that ship are called in a link: `1-with-guidance` is with-guidance."""
    return [path.stem.partition("-")[2] for path in shipped()]


def known(name: str) -> str:
    """The name itself. Raises ValueError for that of no trace that ships."""
    if name and name not in names():
        raise ValueError(f"unknown recorded trace {name!r}; choose one of {', '.join(names())}")
    return name


def uploaded(file: str, shown: Shown | None, compared: bool) -> Updates:
    """A trace from a visitor's file."""
    path = Path(file)
    try:
        trace = read_trace(path)
        what = escape(f"{path.name} is a trace of “{trace.request.prompt}”.")
        said = f'<p class="done" role="status">{what}</p>'
        return _all(_next(trace, shown), compared, said)
    except Exception as error:
        said = sentence(error, TITLES).replace(str(path), f"“{path.name}”")
        return [words.failed(said), *[gr.skip()] * (len(PARTS) + len(PLOTS))]


def compare(shown: Shown | None, compared: bool) -> Updates:
    """The plots with or without the trace before."""
    return _plots(shown, compared) if shown else [gr.skip()] * len(PLOTS)


def generate(core: Core, shown: Shown | None, compared: bool, *values: form.Value) -> Iterator[Updates]:
    """A run recorded, streamed from the click to its plots, or to a sentence that says why there is none."""
    given: dict[str, object] = {"model": core.models[0], **dict(zip(NAMES, values, strict=True))}
    yield _news(words.waking())
    try:
        made = recorded(prepare(given, core))
        with closing(core.run(made)) as events:
            for event in events:
                match event:
                    case Loading(model=model, bytes=size):
                        yield _news(words.loading(model, size))
                    case Encoded(calls=calls):
                        yield _news(words.encoded(calls))
                    case StepDone(index=index, count=count):
                        bar = words.progress(index, count, event.seconds, event.t_next)
                        yield _news(bar, canvas.forming(event.previews[:1], index + 1, count))
                    case Stopped(steps=steps):
                        yield _news(stopped(steps))
                    case Finished():
                        yield finished(made, event, shown, compared)
    except Exception as error:
        yield _refused(error)


def finished(made: Plan, event: Finished, shown: Shown | None, compared: bool) -> Updates:
    """Everything that is drawn of a run that has just ended."""
    (trace,) = traces_of(made, event)
    return _all(_next(trace, shown), compared, words.done(event))


def stopped(steps: int) -> str:
    return (
        f'<p class="done" role="status">Stopped after {counted(steps, "step")}. The trace before is kept.</p>'
    )


def halted(status: str, shown: Shown | None) -> Updates:
    """What is said when Stop was pressed, and the film of the trace that is still there."""
    if words.WAITING in (status or ""):
        return [words.not_started(), gr.skip()]
    if "<progress" not in (status or ""):
        return [gr.skip(), gr.skip()]
    where = re.search(r"Step (\d+) of (\d+)", status)
    return [stopped(int(where[1]) if where else 0), film.film(shown.trace) if shown else gr.skip()]


def chart(name: str, shown: Shown | None, compared: bool) -> "Chart":
    """A plot for its CSV."""
    if shown is None:
        raise gr.Error("There is no trace yet; open one or press Generate.", print_exception=False)
    return _charts(shown, compared)[name]


def opening(spec: ModelSpec) -> dict[str, form.Value]:
    """What the controls hold at first: the model's own values, and a prompt to begin with."""
    return form.opening(spec) | {"prompt": PROMPT}


def filled(spec: ModelSpec, values: Mapping[str, object]) -> Updates:
    """Every control for what a link says, then the trace that it names.

    A shift of `auto` is the model's own, at its native size.
    """
    held = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    if held["shift"] == "auto":
        held["shift"] = spec.shift.default(spec.native**2, spec.native**2)
    return [*(form.filled(name, held[name], spec) for name in NAMES), gr.update(value=held["recorded"])]


def title(name: str) -> str:
    """A shipped trace's name for people: with-guidance is With guidance."""
    return name.replace("-", " ").capitalize()


def _next(trace: Trace, shown: Shown | None, name: str = "") -> Shown:
    return Shown(trace, shown.trace if shown else None, name)


def _all(shown: Shown, compared: bool, status: str = "") -> Updates:
    """Everything on the page that a trace fills, in the order of the outputs: parts, the trace, plots."""
    trace = shown.trace
    told = pathwords.figures(trace) + pathwords.story(trace, shown.before)
    return [
        status,
        film.film(trace),
        told,
        pathwords.context(trace),
        pathwords.stretched(trace),
        attended.explorer(trace),
        _link(trace),
        shown,
        *_plots(shown, compared),
    ]


def _news(status: str, picture: str = "") -> Updates:
    return [status, picture or gr.skip(), *[gr.skip()] * (len(PARTS) - 1 + len(PLOTS))]


def _refused(error: Exception) -> Updates:
    return _news(words.failed(sentence(error, TITLES)))


def _plots(shown: Shown, compared: bool) -> Updates:
    charts = _charts(shown, compared)
    return [drawn(charts[name]) for name in PLOTS]


def _charts(shown: Shown, compared: bool) -> "dict[str, Chart]":
    from sd3demo.plots.trajectories import charts

    return charts(shown.trace, shown.before if compared else None)


def _link(trace: Trace) -> str:
    """Where the browser finds the trace as a file, which gradio later clears away."""
    words = re.sub(r"[^a-z0-9]+", "-", trace.request.prompt.lower())[:40].strip("-") or "trace"
    name = f"{words}-{trace.request.seed}{SUFFIX}"
    try:
        path = save_bytes_to_cache(to_file(trace), name, get_upload_folder())
    except OSError as error:
        raise Refusal(f"cannot write the trace: {error.strerror}; the page needs free space") from error
    return (
        f'<a class="take" href="gradio_api/file={quote(path)}" download="{name}" '
        f'title="Everything on this tab in one file, which opens again without the model">Save this trace</a>'
    )
