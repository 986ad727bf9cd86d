"""Names that moved to run_status.py and generate/story.py; goes once nothing imports it."""

from html import escape

from sd3demo.engine.events import Finished
from sd3demo.settings import counted
from sd3demo.ui.generate.story import seconds_text as _seconds
from sd3demo.ui.generate.story import work_seconds as _work

WAITING = "Waiting for its turn"
STOPPING = "Stopping: what is under way ends first"


def loading(model: str, bytes: int) -> str:
    return bar(0, 1, f"Reading {escape(model)}, {bytes / 1e6:,.0f} MB; the first picture waits for this")


def waiting() -> str:
    return bar(0, 1, WAITING)


def stopping() -> str:
    return f'<p class="stopping">{STOPPING}.</p>'


def not_started() -> str:
    return failed("this run did not start: it was stopped, or too many are waiting; try again in a moment")


def waking() -> str:
    return bar(0, 1, "Getting ready")


def encoded(calls: int) -> str:
    ran = "no encoder ran, since the text was remembered" if not calls else counted(calls, "encoder call")
    return bar(0, 1, f"Text encoded: {ran}")


def progress(index: int, count: int, seconds: float, t_next: float) -> str:
    """A bar with the step, the seconds, and those that are left."""
    done = index + 1
    left = seconds / done * (count - done)
    return bar(done, count, f"Step {done} of {count} · {seconds:.1f} s, about {left:.1f} s left", t_next)


def bar(done: int, count: int, text: str, t: float | None = None) -> str:
    """A bar with its words; `t` is where the sampler stands, for what a sampler does."""
    where = "" if t is None else f"<span><i>t</i> = {t:.2f}</span>"
    return (
        f'<div class="progress"><progress max="{count}" value="{done}" aria-label="Progress"></progress>'
        f"<p><span>{text}</span>{where}</p></div>"
    )


def done(finished: Finished, note: str = "") -> str:
    said = f'<p class="done" role="status">Done in {_seconds(_work(finished))}.</p>'
    return said + (failed(note) if note else "")


def stopped(steps: int) -> str:
    return (
        f'<p class="done" role="status">Stopped after {counted(steps, "step")}. '
        "The settings are as they were; Generate starts again from the noise.</p>"
    )


def taken(name: str) -> str:
    return (
        f'<p class="done" role="status">The settings are those of {escape(name)}. '
        "Generate makes the same picture again.</p>"
    )


def elsewhere(name: str, link: str) -> str:
    return (
        f'<p class="done" role="status">{escape(name)} is an extrapolation. '
        f'<a href="{escape(link)}">Take its settings on the Extrapolate tab</a>, which makes it again.</p>'
    )


def failed(sentence: str) -> str:
    text = sentence[:1].upper() + sentence[1:]
    return f'<p class="failed" role="alert">{escape(text.rstrip("."))}.</p>'
