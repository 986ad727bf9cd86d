"""What the Trajectories tab answers: a trace opened, recorded or compared, and all that is drawn of it.

Nothing here needs a model until somebody generates: a trace holds all that its plots show.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import gradio as gr

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.events import Finished, StepDone
from sd3demo.engine.record.traces import Trace, recorded, traces_of
from sd3demo.errors import Refusal
from sd3demo.history.traces import SUFFIX, read_trace, shipped, to_file
from sd3demo.settings import Request, counted
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.controls import build
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.generate.story import done_text
from sd3demo.ui.run.as_code_view import as_code_html
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.events import run_events
from sd3demo.ui.run.pictures import forming
from sd3demo.ui.run.plots import drawn
from sd3demo.ui.run.run_status import RunStatus, failed, run_status, status_html
from sd3demo.ui.run.run_status import finished as run_finished
from sd3demo.ui.run.turns import in_turn
from sd3demo.ui.server.gradio_internals import write_served_file
from sd3demo.ui.trajectories import attention_view, film, story

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
class ShownTrace:
    """The trace on the page, the one that was there before, and its name where it came with the package."""

    trace: Trace
    before: Trace | None = None
    name: str = ""
    key: str = field(default_factory=lambda: secrets.token_hex(4))


def first(shown: ShownTrace | None, compared: bool, name: str) -> Updates:
    """The trace that a link names, else the first of those that ship, where none is shown yet."""
    if shown:
        return [gr.skip()] * (len(PARTS) + len(PLOTS) + 1)
    return example(name or next(iter(names()), ""), None, compared)


def example(name: str, shown: ShownTrace | None, compared: bool) -> Updates:
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
    """The name itself. Raises Refusal for that of no trace that ships."""
    if name and name not in names():
        raise Refusal(f"unknown recorded trace {name!r}; choose one of {', '.join(names())}")
    return name


def uploaded(file: str, shown: ShownTrace | None, compared: bool) -> Updates:
    """A trace from a visitor's file."""
    path = Path(file)
    try:
        trace = read_trace(path)
        what = escape(f"{path.name} is a trace of “{trace.request.prompt}”.")
        said = f'<p class="done" role="status">{what}</p>'
        return _all(_next(trace, shown), compared, said)
    except Exception as error:
        named = Refusal(str(error).replace(str(path), f"“{path.name}”"))
        said = sentence(named if isinstance(error, Refusal) else error, titles(Request))
        return [status_html(failed(said)), *[gr.skip()] * (len(PARTS) + len(PLOTS))]


def compare(shown: ShownTrace | None, compared: bool) -> Updates:
    """The plots with or without the trace before."""
    return _plots(shown, compared) if shown else [gr.skip()] * len(PLOTS)


def generate(
    core: Core, shown: ShownTrace | None, compared: bool, *values: object
) -> Iterator[tuple[RunStatus, Updates]]:
    """A run recorded, streamed from its start to its plots."""
    given: dict[str, object] = {"model": core.models[0], **dict(zip(NAMES, values, strict=True))}
    plan = recorded(prepare(given, core))
    for event in run_events(in_turn(core, plan)):
        if isinstance(event, Finished):
            (trace,) = traces_of(plan, event)
            _, *updates = _all(_next(trace, shown), compared)
            yield run_finished(done_text(event)), updates
        elif status := run_status(event):
            picture: object = gr.skip()
            if isinstance(event, StepDone):
                picture = forming(event.previews[:1], event.index + 1, event.count)
            yield status, [picture, *[gr.skip()] * (len(PARTS) - 1 + len(PLOTS))]


def ended(status: RunStatus, shown: ShownTrace | None) -> list[object]:
    """What is said of a run that was stopped, and the film of the trace that is still there."""
    return [
        f"Stopped after {counted(status.step, 'step')}. The previous trace is kept.",
        film.film(shown.trace, shown.key) if shown else gr.skip(),
    ]


def chart(name: str, shown: ShownTrace | None, compared: bool) -> "Chart":
    """A plot for its CSV."""
    if shown is None:
        raise gr.Error("There is no trace yet; open one or press Generate.", print_exception=False)
    return _charts(shown, compared)[name]


def opening(spec: ModelSpec) -> dict[str, build.Value]:
    """What the controls hold at first: the model's own values, and a prompt to begin with."""
    return build.opening(spec) | {"prompt": PROMPT}


def filled(spec: ModelSpec, values: Mapping[str, object]) -> Updates:
    """Every control for what a link says, then the trace that it names.

    A shift of `auto` is the model's own, at its native size.
    """
    held = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    if held["shift"] == "auto":
        held["shift"] = spec.shift.default(spec.native**2, spec.native**2)
    return [*(build.update(name, held[name], spec) for name in NAMES), gr.update(value=held["recorded"])]


def title(name: str) -> str:
    """A shipped trace's name for people: with-guidance is With guidance."""
    return name.replace("-", " ").capitalize()


def _next(trace: Trace, shown: ShownTrace | None, name: str = "") -> ShownTrace:
    return ShownTrace(trace, shown.trace if shown else None, name)


def _all(shown: ShownTrace, compared: bool, status: str = "") -> Updates:
    """Everything on the page that a trace fills, in the order of the outputs: parts, the trace, plots."""
    trace = shown.trace
    told = story.figures(trace) + story.story(trace, shown.before)
    hashes = {"noise_sha256": trace.noise_sha256, "weights_sha256": trace.weights_sha256}
    told += as_code_html(trace.request, **hashes)
    return [
        status,
        film.film(trace, shown.key),
        told,
        story.context(trace),
        story.stretched(trace),
        attention_view.explorer(trace),
        _link(trace),
        shown,
        *_plots(shown, compared),
    ]


def _refused(error: Exception) -> Updates:
    said = status_html(failed(sentence(error, titles(Request))))
    return [said, *[gr.skip()] * (len(PARTS) + len(PLOTS))]


def _plots(shown: ShownTrace, compared: bool) -> Updates:
    charts = _charts(shown, compared)
    return [drawn(charts[name]) for name in PLOTS]


def _charts(shown: ShownTrace, compared: bool) -> "dict[str, Chart]":
    from sd3demo.plots.trajectories import charts

    return charts(shown.trace, shown.before if compared else None)


def _link(trace: Trace) -> str:
    """Where the browser finds the trace as a file, which gradio later clears away."""
    stem = re.sub(r"[^a-z0-9]+", "-", trace.request.prompt.lower())[:40].strip("-") or "trace"
    name = f"{stem}-{trace.request.seed}{SUFFIX}"
    file = write_served_file(to_file(trace), name)
    return (
        f'<a class="take" href="{file.source}" download="{file.name}" '
        f'title="Everything on this tab in one file, which opens again without the model">Save this trace</a>'
    )
