"""Events to what the page shows, and errors to a sentence for a person: the one place that catches them."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from sd3demo.engine import Plan
from sd3demo.engine.events import Encoded, Finished, Loading, StepDone, Stopped
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Request, Resolved
from sd3demo.ui.context import Events, Run
from sd3demo.ui.controls.labels import face
from sd3demo.ui.run import pictures as canvas
from sd3demo.ui.run import status as words

log = logging.getLogger(__name__)

TITLES = {name: face(name).title for name in Request.model_fields}


@dataclass(frozen=True)
class Kept:
    """A picture's file: where it lies, where the browser finds it, and what it is called there."""

    path: str
    source: str
    name: str


@dataclass(frozen=True)
class Past:
    """What was asked for, and where the browser finds the first picture of it."""

    request: Resolved
    source: str


@dataclass(frozen=True)
class View:
    """All that a run shows; an empty part leaves what stands on the page."""

    pictures: str = ""
    strip: str = ""
    status: str = ""
    story: str = ""
    files: tuple[Kept, ...] = ()
    past: Past | None = None
    """Of the finished pictures, to compare the next ones with."""


def nowhere(request: Resolved, finished: Finished) -> str:
    """For runs that no history keeps."""
    return ""


def views(
    prepare: Callable[[], Plan],
    run: Run,
    keep: Callable[[Resolved, Finished], tuple[Kept, ...]],
    before: Past | None,
    save: Callable[[Resolved, Finished], str] = nowhere,
) -> Iterator[View]:
    """What the page shows from the click to the picture, or to the sentence that says why there is none.

    `keep` makes the files that the browser gets; `save` puts the run into the history, and answers with a
    sentence where it could not. Closing this closes the run.
    """
    view = View(status=words.waking())
    yield view
    try:
        made = prepare()
        with closing(run(made)) as events:
            yield from _shown(made, events, keep, before, save, view)
    except Exception as error:
        yield View(status=words.failed(sentence(error, TITLES)))


def sentence(error: Exception, names: Mapping[str, str]) -> str:
    """What to tell a person. A traceback goes to the log, for those who run the page.

    A sentence begins with the setting at fault; `names` are what the settings are called where it is read.
    """
    if isinstance(error, Refusal | Failure):
        first, _, rest = " ".join(str(error).split()).partition(" ")
        return f"{names.get(first, first)} {rest}"
    log.error("a run failed", exc_info=error)
    return "something went wrong that should not have; the details are in the log of whoever runs this page"


def _shown(
    made: Plan,
    events: Events,
    keep: Callable[[Resolved, Finished], tuple[Kept, ...]],
    before: Past | None,
    save: Callable[[Resolved, Finished], str],
    view: View,
) -> Iterator[View]:
    frames: tuple[canvas.Frame, ...] = ()
    for event in events:
        match event:
            case Loading(model=model, bytes=size):
                view = replace(view, status=words.loading(model, size))
            case Encoded(calls=calls):
                view = replace(view, status=words.encoded(calls))
            case StepDone(index=index, count=count):
                if canvas.in_strip(index, count):
                    frames = (*frames, canvas.framed(event.t, event.previews[0]))
                view = replace(
                    view,
                    pictures=canvas.forming(event.previews, index + 1, count),
                    strip=canvas.strip(frames),
                    status=words.progress(index, count, event.seconds, event.t_next),
                )
            case Stopped(steps=steps):
                view = replace(view, status=words.stopped(steps))
            case Finished():
                request = made.request
                files = keep(request, event)
                view = View(
                    pictures=canvas.finished(
                        [file.source for file in files],
                        [file.name for file in files],
                        (request.width, request.height),
                        request.prompt,
                        before=_comparable(request, before),
                    ),
                    strip=canvas.strip(frames),
                    status=words.done(event, save(request, event)),
                    story=words.story(made, event, before.request if before else None),
                    files=files,
                    past=Past(request, files[0].source),
                )
            case _:
                continue
        yield view


def _comparable(request: Resolved, before: Past | None) -> str:
    """The picture before, where it can lie under this one: both alone and of one shape."""
    if before is None or request.count != 1 or before.request.count != 1:
        return ""
    alike = request.width * before.request.height == request.height * before.request.width
    return before.source if alike else ""
