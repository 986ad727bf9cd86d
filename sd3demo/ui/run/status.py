"""What a run did, in plain words and a few figures."""

from collections.abc import Mapping
from html import escape
from math import prod, sqrt
from statistics import mean

from sd3demo.engine import Plan
from sd3demo.engine.events import Finished
from sd3demo.settings import Resolved, counted
from sd3demo.ui.controls.labels import face

NAMES: Mapping[str, str] = {"clip_l": "CLIP-L", "clip_g": "CLIP-G", "t5": "T5"}
OFF = {"zeros": "zeros in place of {}", "omit": "{} left out", "empty": "an empty text for {}"}
WAITING = "Waiting for its turn"
STOPPING = "Stopping: what is under way ends first"
STRAIGHT = 0.005  # how much longer than its chord a path may be to be called straight


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


def story(made: Plan, finished: Finished, before: Resolved | None) -> str:
    """The figures of a run, then what they mean."""
    sentences = [_began(made), _asked(made, finished), _path(made, finished), _read(made, finished)]
    changed = _changed(made.request, before)
    paragraphs = "".join(f"<p>{sentence}</p>" for sentence in filter(None, sentences))
    first = f'<p class="changed">{changed}</p>' if changed else ""
    return f"{_figures(made, finished)}{first}{paragraphs}"


def _figures(made: Plan, finished: Finished) -> str:
    length, chord = mean(finished.path_length), mean(finished.chord)
    rows = {
        "Steps": (str(len(finished.sigmas) - 1), _solver(made.request)),
        "Calls": (str(finished.calls), "of the network"),
        "Time": (_seconds(_work(finished)), counted(made.request.count, "picture")),
        "Path": (f"{length:.1f}", f"{length / chord:.2f} × its chord"),
        "Chord": (f"{chord:.1f}", "noise to picture"),
        "Seed": (str(made.request.seed), "draws the noise"),
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    return f'<dl class="figures">{items}</dl>'


def _began(made: Plan) -> str:
    request = made.request
    seeds = f"seed {request.seed}" if request.count == 1 else f"seeds {made.seeds[0]} to {made.seeds[-1]}"
    pictures = "the picture" if request.count == 1 else f"{request.count} pictures"
    shift = "" if request.schedule == "linear" or request.shift == 1 else f", at shift {request.shift:g}"
    return (
        f"Noise drawn with {seeds} was carried to {pictures} in {counted(request.steps, 'step')} "
        f"of {_solver(request)}, from <i>t</i> = 1 to 0 on the {request.schedule} schedule{shift}."
    )


def _asked(made: Plan, finished: Finished) -> str:
    alone = len(made.flow_stages[-1].visits)
    both = finished.calls - alone
    if not both:
        return f"The network was asked {counted(alone, 'time')}, with the prompt alone: guidance is off."
    return (
        f"The network was asked {counted(alone, 'time')} with the prompt and {counted(both, 'time')} without "
        f"it; guidance went {made.request.cfg:g} times the way from one answer to the other."
    )


def _path(made: Plan, finished: Finished) -> str:
    length, chord = mean(finished.path_length), mean(finished.chord)
    excess = length / chord - 1
    bent = "straight" if excess <= STRAIGHT else f"{100 * excess:.0f}% longer than straight"
    return (
        f"The path through latent space is {length:.1f} long and its chord {chord:.1f}: {bent}. "
        f"A straight path of unit variance would measure √(2<i>D</i>) ≈ {sqrt(2 * _entries(made)):.1f}."
    )


def _read(made: Plan, finished: Finished) -> str:
    modes = {name: getattr(made.request, name) for name in NAMES if made.spec.has(name)}
    read = [NAMES[name] for name, mode in modes.items() if mode == "on"]
    off = [OFF[mode].format(NAMES[name]) for name, mode in modes.items() if mode != "on"]
    text = f"The prompt was read by {_listed(read)}" if read else "No encoder read the prompt"
    text += f", with {_listed(off)}" if off else ""
    return text + (", remembered from before." if read and not finished.encoder_calls else ".")


def _changed(now: Resolved, before: Resolved | None) -> str:
    """What differs from the picture before, since one change at a time is what teaches."""
    if before is None:
        return ""
    names = [name for name in Resolved.model_fields if getattr(now, name) != getattr(before, name)]
    if not names:
        return "Nothing was changed since the picture before: it is the same again."
    parts = [
        f"<b>{face(name).title}</b> {_shown(getattr(before, name))} → {_shown(getattr(now, name))}"
        for name in names
    ]
    noise = {"seed", "width", "height", "model"}
    if len(names) == 1 and not noise & set(names):
        return f"{parts[0]}. From the same noise, so this alone is what changed the picture."
    same = "from the same noise" if not noise & set(names) else "from other noise"
    return f"{', '.join(parts)}; {same}."


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value) or "empty"
    return escape(text if len(text) <= 60 else f"{text[:57]}…")


def _solver(request: Resolved) -> str:
    return face("solver").names.get(request.solver, request.solver)


def _entries(made: Plan) -> int:
    """The numbers of one latent."""
    return prod(made.spec.latent.shape(made.request.width, made.request.height))


def _work(finished: Finished) -> float:
    """Seconds of the picture itself: reading the model's files comes once and is left out."""
    return sum(seconds for phase, seconds in finished.seconds.items() if phase != "load")


def _seconds(seconds: float) -> str:
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
