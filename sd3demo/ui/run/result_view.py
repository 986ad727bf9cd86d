"""A result as HTML: its pictures with what can be done with them, and the words that head its story."""

from html import escape

from sd3demo.catalogue import find
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, counted
from sd3demo.ui.controls.labels import label
from sd3demo.ui.controls.model_choice import model_title
from sd3demo.ui.run import pictures
from sd3demo.ui.run.picture_verdicts import verdict_html
from sd3demo.ui.run.result import RunResult, comparable
from sd3demo.ui.run.setting_differences import differing_settings

LONGEST = 300  # characters of a prompt


def result_html(result: RunResult, previous: RunResult | None = None, twins: str = "") -> str:
    """The pictures of a result, each with its verdict, over a slider to the previous one where that fits.

    `twins` are the buttons that run it again with one setting changed.
    """
    request = result.request
    size = (request.width, request.height)
    if not result.pictures:
        shown = pictures.waiting(size, "Not generated yet: press Generate", key=result.key)
        return shown
    shown = pictures.finished(
        [each.file.source for each in result.pictures],
        [each.file.name for each in result.pictures],
        size,
        request.prompt,
        before=comparable(request, previous),
        sides=_sides(previous.request, request) if previous else pictures.SIDES,
        verdicts=[verdict_html(each.verdict) for each in result.pictures],
        key=result.key,
        is_twin=bool(result.changed),
    )
    return shown + _since(result) + twins


def head_html(result: RunResult) -> str:
    """What was asked for and how the settings were, in two lines, with what the state of the run is."""
    request = result.request
    prompt = " ".join(request.prompt.split())
    shown = prompt if len(prompt) <= LONGEST else f"{prompt[: LONGEST - 1]}…"
    state = _state(result)
    return (
        f'<div class="result-head" data-state="{result.state}"><p><b>“{escape(shown)}”</b></p>'
        f"<p>{escape(settings_line(request))}</p>"
        f"{f'<p>{state}</p>' if state else ''}</div>"
    )


def settings_line(request: Resolved) -> str:
    """The settings that everybody asks for first, in a line."""
    parts = [
        _model(request.model),
        f"seed {request.seed}",
        counted(request.steps, "step"),
        label("solver").names.get(request.solver, request.solver),
        f"CFG {request.cfg:g}" if request.cfg != 1 else "CFG off",
        *([] if request.schedule == "linear" else [f"shift {request.shift:.4g}"]),
        *([f"T5 {request.t5}"] if request.t5 != "on" else []),
        f"{request.width} × {request.height} px",
    ]
    return " · ".join(parts)


def _state(result: RunResult) -> str:
    """What is said of a run that did not simply finish, and of a twin what it changes."""
    change = f"One change: {escape(result.changed)}." if result.changed else ""
    return f"{_end(result)} {change}".strip()


def _end(result: RunResult) -> str:
    match result.state:
        case "planned":
            return "Not generated yet. Generate makes it."
        case "running":
            return "The picture is a prediction until the last step."
        case "stopped":
            done = f"after step {result.steps} of {result.count}" if result.steps else "before step 1"
            return f"Stopped {done}: the picture is the prediction at that step."
        case "failed":
            return "The run did not finish: the picture is a prediction on the way."
        case "opened":
            return f"From {escape(result.origin)}." if result.origin else ""
        case _:
            return ""


def _since(result: RunResult) -> str:
    """What result.js uncovers after an edit of the form; a twin never had the form's settings."""
    use = f' <a href="{escape(result.link)}">Use its settings</a>' if result.link else ""
    if result.changed:
        return f'<p class="since shown">One change: {escape(result.changed)}.{use}</p>'
    return f'<p class="since"><span>Settings changed since this picture.</span>{use}</p>'


def _sides(before: Resolved, now: Resolved) -> tuple[str, str]:
    """The words on either side of the divider: the one setting that differs, where it is one."""
    found = differing_settings(before, now)
    if len(found) != 1 or found[0].name == "prompt":
        return pictures.SIDES
    (only,) = found
    return f"{only.title} {only.before}", f"{only.title} {only.after}"


def _model(name: str) -> str:
    try:
        return model_title(find(name))
    except Refusal:
        return name
