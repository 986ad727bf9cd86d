"""Where a run stands, as a value that the page keeps in a `gr.State`, and the same as HTML."""

from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal, TypeAlias

from sd3demo.engine.events import Encoded, Event, Loading, StepDone
from sd3demo.settings import counted
from sd3demo.ui.server.ticket import Waiting

Phase: TypeAlias = Literal["idle", "waiting", "running", "stopped", "finished", "failed"]


@dataclass(eq=False)
class StopRequest:
    """Whether Stop was pressed; a run and the press that asks for it share one."""

    asked: bool = False


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands: `step` steps of `count` are done in `stage`, and the solver stands at time `t`.

    `text` is what a person reads, as HTML; `note` is a sentence about what went wrong beside it, as text.
    `share` is how much of all its stages is done, in [0, 1]; None where there is one stage.
    """

    phase: Phase = "idle"
    text: str = ""
    step: int = 0
    count: int = 0
    t: float | None = None
    stage: str = ""
    note: str = ""
    share: float | None = None
    behind: str = ""
    """What waits for this run to end, as text."""
    stop: StopRequest = field(default_factory=StopRequest, compare=False, repr=False)

    @property
    def is_active(self) -> bool:
        """Whether the run is in the queue or goes on."""
        return self.phase in ("waiting", "running")


WAITING = RunStatus("waiting", "In the queue")
STARTING = RunStatus("running", "Starting")
STOPPING = "Stopping after the step that is running"
NOT_STARTED = (
    "The run did not start: it was stopped in the queue, or the queue is full. Try again in a moment"
)


def waiting(news: Waiting) -> RunStatus:
    """A run in the queue, or between two steps: how many come before it, and how long they are to take."""
    before = "one run" if news.place == 1 else f"{news.place} runs"
    when = f", about {news.seconds:.0f} s" if news.seconds >= 1 else ""
    if news.begun:
        return RunStatus("waiting", f"Paused between two steps: {before} first{when}")
    return RunStatus("waiting", f"In the queue: {before} before it{when}")


def running(
    text: str, *, step: int = 0, count: int = 0, t: float | None = None, stage: str = ""
) -> RunStatus:
    """A run that goes on; `text` is HTML."""
    return RunStatus("running", text, step, count, t, stage)


def finished(text: str, *, note: str = "") -> RunStatus:
    """A run with its result; `text` is HTML, `note` a sentence about what could not be done with it."""
    return RunStatus("finished", text, note=note)


def failed(sentence: str) -> RunStatus:
    """A run that ended in an error, or was refused."""
    return RunStatus("failed", escape(_as_sentence(sentence)))


def stopped(status: RunStatus, text: str) -> RunStatus:
    """A run that was stopped where `status` stands."""
    return replace(status, phase="stopped", text=text)


def run_status(event: Event | Waiting, *, stage: str = "") -> RunStatus | None:
    """Where a run stands after an event; None for events that change nothing of it.

    `stage` is what the stage is called, where a run has several.
    """
    match event:
        case Waiting():
            return waiting(event)
        case Loading(model=model, bytes=size):
            return running(f"Loading {escape(model)}, {size / 1e6:,.0f} MB (first run only)", stage=stage)
        case Encoded(calls=0):
            return running("Text encoding: cached", stage=stage)
        case Encoded(calls=calls):
            return running(f"Text encoding: {counted(calls, 'encoder call')}", stage=stage)
        case StepDone(index=index, count=count, seconds=seconds, t_next=t):
            done = index + 1
            left = seconds / done * (count - done)
            head = f"{escape(stage)}: step" if stage else "Step"
            text = f"{head} {done} of {count} · {seconds:.1f} s, about {left:.1f} s left"
            return running(text, step=done, count=count, t=t, stage=stage)
        case _:
            return None


def status_html(status: RunStatus) -> str:
    """A status as the page shows it: a bar while the run goes on, then how it ended."""
    match status.phase:
        case "idle":
            return ""
        case "waiting" | "running":
            return progress_bar(status)
        case "failed":
            return _alert(status.text)
        case "stopped" | "finished":
            note = _alert(escape(_as_sentence(status.note))) if status.note else ""
            return f'<p class="done" role="status">{status.text}</p>{note}'


def stopping_html(status: RunStatus) -> str:
    """The same for a run that was asked to stop and has not yet."""
    bar = progress_bar(status).removesuffix("</div>")
    return f'{bar}<p class="stopping">{STOPPING}.</p></div>'


def progress_bar(status: RunStatus) -> str:
    """A bar with its words."""
    where = "" if status.t is None else f"<span><i>t</i> = {status.t:.2f}</span>"
    most, value = (status.count or 1, status.step) if status.share is None else (1, round(status.share, 4))
    behind = f'<p class="behind">{escape(status.behind)}</p>' if status.behind else ""
    return (
        f'<div class="progress"><progress max="{most}" value="{value}" '
        f'aria-label="Progress"></progress><p><span>{status.text}</span>{where}</p>{behind}</div>'
    )


def _alert(text: str) -> str:
    return f'<p class="failed" role="alert">{text}.</p>'


def _as_sentence(text: str) -> str:
    return (text[:1].upper() + text[1:]).rstrip(".")
