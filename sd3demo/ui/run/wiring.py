"""From a click to its answer: at once, or as a run in the queue that can be stopped.

Where a run stands is a `RunStatus` in a `gr.State`. Nothing reads it back from the page.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.errors import Failure
from sd3demo.ui.run import run_status
from sd3demo.ui.run.errors import reported, sentence
from sd3demo.ui.run.events import UNFINISHED, RunStopped
from sd3demo.ui.run.run_status import RunStatus, StopRequest, status_html, stopping_html
from sd3demo.ui.server.gradio_internals import current_call

log = logging.getLogger(__name__)

QUEUE = "model"
"""gradio's name of all runs. It holds none of them up: they wait in the page's own line."""

Trigger: TypeAlias = Callable[..., Dependency]
Answer: TypeAlias = Callable[..., Iterator[tuple[RunStatus, Sequence[object]]]]
"""Yields where the run stands and an update for each output; raises Refusal, Failure or RunStopped."""
Ending: TypeAlias = Callable[..., Sequence[object]]
"""What is said of a run that was stopped, as HTML, and an update for each further output."""


def at_once(
    triggers: Sequence[Trigger],
    answer: Callable[..., object] | None,
    inputs: Sequence[Component],
    outputs: Sequence[Block],
    *,
    js: str | None = None,
    raw: bool = False,
) -> Dependency:
    """Wire a quick answer, beside the queue. Of several at a time, the last one counts.

    `raw` hands the values over unchecked, for an answer whose own sentence says more. No progress is shown,
    so gradio is to note it at one output alone: where it once did, it does again at every event of the page.
    """
    return gr.on(
        triggers,
        answer,
        inputs,
        outputs,
        js=js,
        preprocess=not raw,
        queue=False,
        show_progress="hidden",
        show_progress_on=[one for one in outputs[:1] if isinstance(one, Component)],
        trigger_mode="always_last",
        api_visibility="private",
    )


def after(
    event: Dependency, answer: Callable[..., object], inputs: Sequence[Component], outputs: Sequence[Block]
) -> Dependency:
    """Wire a quick answer that follows another one's success."""
    return event.success(
        answer,
        [*inputs],
        [*outputs],
        preprocess=False,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


@dataclass(frozen=True)
class QueuedRun:
    """A run that a click starts: its event, which `linked` and `after` can follow, and where it stands."""

    event: Dependency
    state: gr.State
    status: gr.HTML
    inputs: Sequence[Component] = ()
    presses: "PressHandling | None" = None


@dataclass(frozen=True)
class PressHandling:
    """How clicks that come while a run goes on are kept for later.

    `taken` gets the RunStatus and the inputs at each click, and returns the updates of `queued`; `wanted`
    gets the inputs of the run and says whether there is a click that nobody else runs; `dropped` gets them
    when Stop is pressed before the run has begun.
    """

    taken: Callable[..., list[object]]
    inputs: Sequence[Component]
    wanted: Callable[..., bool]
    dropped: Callable[..., object]


def run_in_queue(
    triggers: Sequence[Trigger],
    answer: Answer,
    inputs: Sequence[Component],
    outputs: Sequence[Component],
    *,
    status: gr.HTML,
    titles: Mapping[str, str],
    state: gr.State | None = None,
    raw: bool = True,
    again: Literal["once", "always_last"] = "once",
    on_error: Callable[[], Sequence[object]] | None = None,
    saved: bool = False,
    presses: PressHandling | None = None,
) -> QueuedRun:
    """Wire a run, and `status` says where it stands. It waits for its turn by itself: see `run.turns`.

    `answer` yields a RunStatus and an update for each output. What it raises becomes a sentence, in which the
    settings have these titles; `on_error` then updates the outputs, which otherwise stay. Runs that share a
    status and a Stop button share a `state`. `raw` hands the values over unchecked: the settings check them,
    and their sentence says more. `again` says what becomes of a click while the run goes on; with `presses`
    each click is taken down with the values of its moment, and none is lost. A run that is `saved` goes on
    where its visitor leaves the page: see `finish_alone`.
    """
    state = gr.State(RunStatus()) if state is None else state
    stream = partial(streamed, answer, titles, len(outputs), on_error, saved=saved)
    if presses is None:
        begun = at_once(triggers, queued, [state], [state, status])
    else:
        begun = at_once(triggers, presses.taken, [state, *presses.inputs], [state, status], raw=True)
        stream = partial(_where_wanted, presses.wanted, stream, len(outputs))
    event = begun.success(
        partial(unless_stopped, stream, len(outputs)),
        [state, *inputs],
        [state, status, *outputs],
        preprocess=not raw,
        show_progress="minimal",
        show_progress_on=status,
        concurrency_limit=None,
        concurrency_id=QUEUE,
        trigger_mode=again if presses is None else "always_last",
        api_visibility="private",
    )
    return QueuedRun(event, state, status, [*inputs], presses)


def stop_runs(
    stop: gr.Button,
    runs: Sequence[QueuedRun],
    *,
    ended: Ending,
    inputs: Sequence[Component] = (),
    outputs: Sequence[Component] = (),
) -> None:
    """Wire Stop: the status says so at once, and how far the run came once it has ended.

    The browser takes a stopped run for over when the server has ended it, after the step that is running.
    `ended` gets the RunStatus and the inputs; see `Ending`. A run that never began says so by itself. The
    server stops the run too: the browser knows none whose press has only just been answered.
    """
    first = runs[0]
    state, status = first.state, first.status
    dropped, waiting = (first.presses.dropped, first.inputs) if first.presses else (None, [])
    at_once([stop.click], partial(stopping, dropped), [state, *waiting], [state, status])
    stop.click(None, cancels=[run.event for run in runs], queue=False, api_visibility="private")
    for run in runs:
        run.event.failure(
            partial(_ended, ended),
            [state, *inputs],
            [state, status, *outputs],
            preprocess=False,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )


def queued(status: RunStatus) -> list[object]:
    """A click while the run goes on starts no other, and leaves what is said."""
    if status.is_active and not status.stop.asked:
        return [gr.skip(), gr.skip()]
    now = replace(run_status.WAITING, stop=StopRequest())
    return [now, status_html(now)]


def unless_stopped(
    stream: Callable[..., Generator[list[object], None, None]],
    count: int,
    status: RunStatus,
    *values: object,
) -> Generator[list[object], None, None]:
    """The updates of a run until Stop is pressed; none where it was pressed before the run began.

    Raises gradio's error for a stopped run that the browser did not cancel, so that it is said to have ended.
    """
    stop = status.stop
    if stop.asked:
        yield [gr.skip()] * (2 + count)
        return
    with closing(stream(*values)) as news:
        for now, *updates in news:
            if stop.asked:
                raise reported(gr.Error("stopped", visible=False, print_exception=False))
            yield [replace(now, stop=stop) if isinstance(now, RunStatus) else now, *updates]


def _where_wanted(
    wanted: Callable[..., bool],
    stream: Callable[..., Generator[list[object], None, None]],
    count: int,
    *values: object,
) -> Generator[list[object], None, None]:
    """The updates of a run, or none where every click was run already."""
    if wanted(*values):
        yield from stream(*values)
    else:
        yield [gr.skip()] * (2 + count)


def stopping(dropped: Callable[..., object] | None, status: RunStatus, *values: object) -> list[object]:
    """Stop was pressed: a run that goes on ends after its step, one that has not begun never begins."""
    if not status.is_active:
        return [gr.skip(), gr.skip()]
    status.stop.asked = True
    if status.phase == "running":
        return [gr.skip(), stopping_html(status)]
    if dropped is not None:
        dropped(*values)
    now = replace(run_status.failed(run_status.NOT_STARTED), stop=status.stop)
    return [now, status_html(now)]


def _ended(ended: Ending, status: RunStatus, *values: object) -> list[object]:
    text, *updates = ended(status, *values)
    match status.phase:
        case "running":
            now = run_status.stopped(status, str(text))
        case "waiting":
            now = run_status.failed(run_status.NOT_STARTED)
        case _:
            return [gr.skip(), gr.skip(), *updates]
    return [now, status_html(now), *updates]


def streamed(
    answer: Answer,
    titles: Mapping[str, str],
    count: int,
    on_error: Callable[[], Sequence[object]] | None,
    *values: object,
    saved: bool = False,
) -> Generator[list[object], None, None]:
    """Every update of a run, from its turn in the queue to its end.

    Closing this closes the run, but for one that is `saved` and whose visitor has left without stopping it.
    """
    nothing = [gr.skip()] * count
    status, call, context = run_status.STARTING, current_call(), copy_context()
    left_alone = False
    news = _generator(answer, values)
    try:
        yield [status, status_html(status), *nothing]
        for status, updates in news:
            yield [status, status_html(status), *updates]
        if status.is_active:
            raise Failure(UNFINISHED)
    except GeneratorExit:
        left_alone = saved and call.left()
        if left_alone:
            finish_alone(news, context)
        raise
    except RunStopped as stop:
        text = f"Stopped after step {stop.steps}."
        yield [(now := run_status.stopped(status, text)), status_html(now), *nothing]
    except Exception as error:
        now = run_status.failed(sentence(error, titles))
        yield [now, status_html(now), *(on_error() if on_error else nothing)]
        if isinstance(error, gr.Error):  # of ZeroGPU's quota: gradio shows it with its links
            raise
    finally:
        if not left_alone:
            news.close()


def finish_alone(news: Generator[object, None, None], context: Context) -> None:
    """Bring a run whose visitor has left to its end, in a thread of its own; its answer saves the result."""

    def finish() -> None:
        try:
            for _ in news:
                continue
        except RunStopped:
            log.info("a run whose visitor had left was stopped")
        except Exception as error:
            log.warning("a run whose visitor had left failed: %s", sentence(error, {}))

    threading.Thread(target=context.run, args=(finish,), name="left run", daemon=True).start()


def _generator(
    answer: Answer, values: Sequence[object]
) -> Generator[tuple[RunStatus, Sequence[object]], None, None]:
    yield from answer(*values)
