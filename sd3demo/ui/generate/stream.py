"""The events of a run as what the Generate tab shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sd3demo.engine import Plan
from sd3demo.engine.events import Finished, Pixels, StageStarted, StepDone
from sd3demo.settings import Resolved
from sd3demo.ui.generate.story import done_text, story_html, work_seconds
from sd3demo.ui.run import pictures
from sd3demo.ui.run.events import run_events
from sd3demo.ui.run.result import ResultPicture, RunResult
from sd3demo.ui.run.result_view import head_html, result_html
from sd3demo.ui.run.run_status import RunStatus, finished, run_status
from sd3demo.ui.run.turns import RunNews
from sd3demo.ui.server.gradio_internals import ServedFile
from sd3demo.world.verdict import PictureVerdict


@dataclass(frozen=True)
class RunView:
    """What a run shows; None leaves what stands on the page."""

    pictures: str | None = None
    strip: str | None = None
    story: str | None = None
    result: RunResult | None = None
    """What the three are views of; None as long as they show the run before."""


def run_views(
    plan: Plan,
    events: RunNews,
    *,
    write: Callable[[Resolved, Finished], tuple[ServedFile, ...]],
    save: Callable[[Resolved, Finished], str],
    judge: Callable[[Resolved, Sequence[Pixels]], Sequence[PictureVerdict | None]],
    previous: RunResult | None,
    twins: Callable[[RunResult], str] = lambda result: "",
    link: str = "",
    changed: str = "",
) -> Iterator[tuple[RunStatus, RunView]]:
    """Where the run stands after each event, and what the page shows then.

    `save` puts the run into the history, and answers with a sentence where it could not; `write` then makes
    the files that the browser gets, and `judge` looks at the pictures. `twins` are the buttons that run the
    result again with one change, as HTML. `link` is the address of the settings,
    `changed` what differs from the picture that this is a twin of. Closing this closes the run. Raises as
    `run_events` does.
    """
    view = RunView()
    begun = RunResult(plan.request, "running", link=link, changed=changed)
    frames: tuple[pictures.StripFrame, ...] = ()
    for event in run_events(events):
        if isinstance(event, StageStarted):
            frames = ()  # a run that begins again begins at its first step
        if isinstance(event, StepDone):
            if pictures.in_strip(event.index, event.count):
                frames = (*frames, pictures.strip_frame(event.t, event.previews[0]))
            view = RunView(
                pictures=pictures.forming(event.previews, event.index + 1, event.count, key=begun.key),
                strip=pictures.strip(frames),
                story=head_html(begun),
                result=begun,
            )
        if isinstance(event, Finished):
            request, note = plan.request, save(plan.request, event)  # kept, though no file can be written
            files = write(request, event)
            verdicts = judge(request, event.pictures)
            before = previous.request if previous else None
            result = _finished(begun, plan, event, files, verdicts, before)
            view = RunView(
                pictures=result_html(result, previous, twins(result)),
                strip=pictures.strip(frames),
                story=head_html(result) + result.story,
                result=result,
            )
            yield finished(done_text(event), note=note), view
        elif status := run_status(event):
            yield status, view


def finished_result(
    plan: Plan, finished: Finished, file: ServedFile, verdict: PictureVerdict | None, link: str
) -> RunResult:
    """Return the result of a run of one picture that was shown elsewhere, such as a grid's cell."""
    begun = RunResult(plan.request, "running", link=link)
    return _finished(begun, plan, finished, (file,), (verdict,), None)


def _finished(
    begun: RunResult,
    plan: Plan,
    event: Finished,
    files: Sequence[ServedFile],
    verdicts: Sequence[PictureVerdict | None],
    before: Resolved | None,
) -> RunResult:
    return replace(
        begun,
        state="finished",
        pictures=tuple(map(ResultPicture, files, verdicts)),
        story=story_html(plan, event, before),
        seconds=work_seconds(event),
    )
