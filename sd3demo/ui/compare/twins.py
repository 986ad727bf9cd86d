"""Twins of a picture: the same seed and one setting changed, each a run of one press. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Resolved, foreign_options, parse, without_effect
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.controls.model_choice import is_here, model_title
from sd3demo.ui.run.setting_differences import differing_settings

CHANGES: Mapping[str, tuple[str, str, object]] = {
    "no-t5": ("Without T5", "t5", "zeros"),
    "cfg-1": ("CFG 1", "cfg", 1.0),
    "steps-4": ("4 steps", "steps", 4),
    "shift-1": ("Shift 1", "shift", 1.0),
    "shift-3": ("Shift 3", "shift", 3.0),
    "heun": ("Heun", "solver", "heun"),
    "euler": ("Euler", "solver", "euler"),
}
"""Each twin by its name: the words on its button, the setting that it changes, and the value."""
ONLY_FROM: Mapping[str, tuple[str, ...]] = {"no-t5": ("on",), "euler": ("heun",)}
"""The values from which a change is offered, where not every other one is."""
MODEL = "model"
SHARED = ("prompt", "negative", "seed", "t5", "clip_l", "clip_g", "uncond", "prompt_2", "prompt_3")
"""What another model is asked for too; everything else is its own."""


@dataclass(frozen=True)
class PictureTwin:
    """A twin: its name, the words on its button, its request, and the change in words."""

    name: str
    title: str
    request: Resolved
    changed: str


def twins_of(request: Resolved, models: Sequence[str]) -> tuple[PictureTwin, ...]:
    """Return the twins of a picture with the models on offer; none of them would change nothing."""
    if isinstance(request, ResolvedExtrapolation):
        return ()
    try:
        spec = find(request.model)
    except Refusal:
        return ()
    idle = without_effect(request.model_dump(), spec)
    found = []
    for name, (title, setting, value) in CHANGES.items():
        now = getattr(request, setting)
        if now == value or now not in ONLY_FROM.get(name, (now,)):
            continue
        if setting not in idle and _has(spec, setting):
            found.append(_twin(name, title, request, request.model_copy(update={setting: value})))
    if other := _other_model(request, models):
        found.append(_twin(MODEL, f"Model {model_title(find(other.model))}", request, other))
    return tuple(found)


def twin_of(request: Resolved, models: Sequence[str], name: str) -> PictureTwin:
    """Return a twin by its name. Raises Refusal for one that the picture does not have."""
    known = twins_of(request, models)
    for twin in known:
        if twin.name == name:
            return twin
    names = ", ".join(twin.name for twin in known) or "none"
    raise Refusal(f"this picture has no twin {name!r}; it has {names}")


def twins_html(request: Resolved, source: str, models: Sequence[str]) -> str:
    """The buttons that make the twins of a picture; "" where it has none."""
    buttons = "".join(
        f'<button type="button" data-twin="{twin.name}" data-source="{escape(source)}" '
        f'title="{escape(twin.changed)}">{escape(twin.title)}</button>'
        for twin in twins_of(request, models)
    )
    if not buttons:
        return ""
    return (
        '<div class="twins" role="group" aria-label="Same seed, one change"><span>Same seed, one change:'
        f"</span>{buttons}</div>"
    )


def _twin(name: str, title: str, request: Resolved, other: Resolved) -> PictureTwin:
    differing = differing_settings(request, other)
    if name == MODEL:
        differing = tuple(each for each in differing if each.name == MODEL)
    changed = ", ".join(f"{each.title} {each.before} → {each.after}" for each in differing)
    return PictureTwin(name, title, other, changed)


def _has(spec: ModelSpec, setting: str) -> bool:
    """Whether a model has a setting, and the weights that it speaks of."""
    if setting == "cfg":
        return spec.can.negative
    return setting not in foreign_options(spec) and (setting != "t5" or spec.has("t5"))


def _other_model(request: Resolved, models: Sequence[str]) -> Resolved | None:
    """The same request of the next model on offer that is on this disk."""
    if request.model not in models:
        return None
    at = list(models).index(request.model)
    for name in (*models[at + 1 :], *models[:at]):
        spec = find(name)
        if not is_here(spec):
            continue
        foreign = foreign_options(spec)
        shared = {each: getattr(request, each) for each in SHARED if each not in foreign}
        asked = parse(Request, {**shared, "model": name, "precision": request.precision})
        try:
            return resolve(asked, spec, Budget())
        except Refusal:
            continue
    return None
