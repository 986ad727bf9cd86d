"""What a run did, in a few figures and plain sentences."""

from collections.abc import Mapping
from html import escape
from math import prod, sqrt
from statistics import mean

from sd3demo.engine import Plan
from sd3demo.engine.events import Finished
from sd3demo.settings import Resolved, counted, text_inputs
from sd3demo.ui.controls.labels import label
from sd3demo.ui.run.as_code_view import as_code_html

OFF = {"zeros": "zeros in place of {}", "omit": "{} left out", "empty": "an empty text for {}"}
STRAIGHT = 0.005  # how much longer than its chord a path may be to be called straight


def story_html(plan: Plan, finished: Finished, previous: Resolved | None) -> str:
    """The figures of a run, what changed since the previous one, and what the figures mean."""
    sentences = [_sampling(plan), _calls(plan, finished), _path(plan, finished), _text(plan, finished)]
    changed = _changed(plan.request, previous)
    paragraphs = "".join(f"<p>{sentence}</p>" for sentence in filter(None, sentences))
    first = f'<p class="changed">{changed}</p>' if changed else ""
    code = as_code_html(
        plan.request, noise_sha256=finished.noise_sha256[0], weights_sha256=finished.weights_sha256
    )
    return f"{_figures(plan, finished)}{first}{paragraphs}{code}"


def done_text(finished: Finished) -> str:
    """How long the pictures took, without the loading of the model, which comes once."""
    return f"Done in {seconds_text(work_seconds(finished))}."


def work_seconds(finished: Finished) -> float:
    """Seconds of the pictures themselves."""
    return sum(seconds for phase, seconds in finished.seconds.items() if phase != "load")


def seconds_text(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def _figures(plan: Plan, finished: Finished) -> str:
    length, chord = mean(finished.path_length), mean(finished.chord)
    rows = {
        "Steps": (str(len(finished.sigmas) - 1), _solver(plan.request)),
        "Calls": (str(finished.calls), "of the network"),
        "Time": (seconds_text(work_seconds(finished)), counted(plan.request.count, "picture")),
        "Path": (f"{length:.1f}", f"{length / chord:.2f} × its chord"),
        "Chord": (f"{chord:.1f}", "noise to picture"),
        "Seed": (str(plan.request.seed), "draws the noise"),
    }
    return figures_html(rows)


def figures_html(rows: Mapping[str, tuple[str, str]]) -> str:
    """Figures under their names, each with a note below it."""
    items = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    return f'<dl class="figures">{items}</dl>'


def _sampling(plan: Plan) -> str:
    request = plan.request
    seeds = f"seed {request.seed}" if request.count == 1 else f"seeds {plan.seeds[0]} to {plan.seeds[-1]}"
    pictures = "the picture" if request.count == 1 else f"{request.count} pictures"
    shift = "" if request.schedule == "linear" or request.shift == 1 else f", shift {request.shift:g}"
    begin = "From noise at <i>t</i> = 1"
    if plan.init is not None:
        begin = f"From the given picture, noised to <i>t</i> = {plan.sigmas[0]:.4g},"
    taken, steps = len(plan.sigmas) - 1, counted(request.steps, "step")
    steps = steps if taken == request.steps else f"{taken} of {steps}"  # a picture's run begins later
    return (
        f"{begin} to {pictures} at <i>t</i> = 0 in {steps} of "
        f"{_solver(request)}: {request.schedule} scheduler{shift}, {seeds}."
    )


def _calls(plan: Plan, finished: Finished) -> str:
    conditional = len(plan.flow_stages[-1].visits)
    unconditional = finished.calls - conditional
    if not unconditional:
        return f"The network was called {counted(conditional, 'time')}, with the prompt alone: CFG is off."
    return (
        f"The network was called {counted(conditional, 'time')} with the prompt and "
        f"{counted(unconditional, 'time')} without it: CFG scale {plan.request.cfg:g}."
    )


def _path(plan: Plan, finished: Finished) -> str:
    length, chord = mean(finished.path_length), mean(finished.chord)
    excess = length / chord - 1
    bent = "straight" if excess <= STRAIGHT else f"{100 * excess:.0f}% longer than straight"
    return (
        f"The path through latent space is {length:.1f} long and its chord {chord:.1f}: {bent}. "
        f"Without CFG a perfect flow of unit variance measures at most √(2<i>D</i>) ≈ "
        f"{sqrt(2 * _entries(plan)):.1f} on average."
    )


def _text(plan: Plan, finished: Finished) -> str:
    spec = plan.spec
    modes = {
        spec.encoder(each.encoder).title: each.mode
        for each in text_inputs(plan.request, spec)
        if spec.has(each.encoder)
    }
    read = [title for title, mode in modes.items() if mode == "on"]
    off = [OFF[mode].format(title) for title, mode in modes.items() if mode != "on"]
    by = f"by {_listed(read)}" if read else "by no encoder"
    also = f", with {_listed(off)}" if off else ""
    cached = ": cached" if read and not finished.encoder_calls else ""
    return f"Text encoding {by}{also}{cached}."


def _changed(now: Resolved, previous: Resolved | None) -> str:
    """What differs from the picture before, since one change at a time is what teaches."""
    if previous is None:
        return ""
    names = [
        name
        for name in type(now).model_fields
        if getattr(now, name) != getattr(previous, name, getattr(now, name))
    ]
    if not names:
        return "Nothing was changed since the previous picture: it is the same again."
    parts = [
        f"<b>{label(name).title}</b> {_value(getattr(previous, name))} → {_value(getattr(now, name))}"
        for name in names
    ]
    noise = {"seed", "width", "height", "model"}
    if len(names) == 1 and not noise & set(names):
        return f"{parts[0]}. From the same noise, so this alone is what changed the picture."
    same = "from the same noise" if not noise & set(names) else "from other noise"
    return f"{', '.join(parts)}; {same}."


def _value(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value) or "empty"
    return escape(text if len(text) <= 60 else f"{text[:57]}…")


def _solver(request: Resolved) -> str:
    return label("solver").names.get(request.solver, request.solver)


def _entries(plan: Plan) -> int:
    """The numbers of one latent."""
    return prod(plan.spec.latent.shape(plan.request.width, plan.request.height))


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
