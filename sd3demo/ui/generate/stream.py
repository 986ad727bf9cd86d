"""The events of a run as what the Generate tab shows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sd3demo.engine import Plan
from sd3demo.engine.events import Finished, StageStarted, StepDone
from sd3demo.settings import Resolved
from sd3demo.ui.generate.story import done_text, story_html
from sd3demo.ui.run import pictures
from sd3demo.ui.run.events import run_events
from sd3demo.ui.run.run_status import RunStatus, finished, run_status
from sd3demo.ui.run.turns import RunNews
from sd3demo.ui.server.gradio_internals import ServedFile


@dataclass(frozen=True)
class PreviousRun:
    """What was asked for, and where the browser finds the first picture of it."""

    request: Resolved
    source: str


@dataclass(frozen=True)
class RunView:
    """What a run shows; None leaves what stands on the page."""

    pictures: str | None = None
    strip: str | None = None
    story: str | None = None
    files: tuple[ServedFile, ...] | None = None
    previous: PreviousRun | None = None
    """Of the finished pictures, to compare the next ones with."""


def run_views(
    plan: Plan,
    events: RunNews,
    *,
    write: Callable[[Resolved, Finished], tuple[ServedFile, ...]],
    save: Callable[[Resolved, Finished], str],
    previous: PreviousRun | None,
) -> Iterator[tuple[RunStatus, RunView]]:
    """Where the run stands after each event, and what the page shows then.

    `save` puts the run into the history, and answers with a sentence where it could not; `write` then makes
    the files that the browser gets. Closing this closes the run. Raises as `run_events` does.
    """
    view = RunView()
    frames: tuple[pictures.StripFrame, ...] = ()
    for event in run_events(events):
        if isinstance(event, StageStarted):
            frames = ()  # a run that begins again begins at its first step
        if isinstance(event, StepDone):
            if pictures.in_strip(event.index, event.count):
                frames = (*frames, pictures.strip_frame(event.t, event.previews[0]))
            view = replace(
                view,
                pictures=pictures.forming(event.previews, event.index + 1, event.count),
                strip=pictures.strip(frames),
                story="",  # that of the picture which is gone now
            )
        if isinstance(event, Finished):
            request, note = plan.request, save(plan.request, event)  # kept, though no file can be written
            files = write(request, event)
            view = RunView(
                pictures=pictures.finished(
                    [file.source for file in files],
                    [file.name for file in files],
                    (request.width, request.height),
                    request.prompt,
                    before=_comparable(request, previous),
                ),
                strip=pictures.strip(frames),
                story=story_html(plan, event, previous.request if previous else None),
                files=files,
                previous=PreviousRun(request, files[0].source),
            )
            yield finished(done_text(event), note=note), view
        elif status := run_status(event):
            yield status, view


def _comparable(request: Resolved, previous: PreviousRun | None) -> str:
    """The previous picture, where it can lie under this one: both alone and of one shape."""
    if previous is None or request.count != 1 or previous.request.count != 1:
        return ""
    alike = request.width * previous.request.height == request.height * previous.request.width
    return previous.source if alike else ""
