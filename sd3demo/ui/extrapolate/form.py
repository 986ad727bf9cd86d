"""The settings of the Extrapolate tab, how they look, and the extrapolations that they ask for. Pure.

Each part of the method has a switch beside its setting: switched off, the network is as it was trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from sd3demo.catalogue import Family, ModelSpec, find
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings import parse, without_effect
from sd3demo.settings.extrapolation import (
    COMPARED,
    PLAIN,
    PRESETS,
    Extrapolation,
    PresetName,
    lacking,
    method_arms,
    preset_of,
)
from sd3demo.settings.family_presets import FAMILY_PRESETS
from sd3demo.ui.controls.build import Control, control
from sd3demo.ui.controls.labels import label

OWN = "own"
SHOWN = tuple(name for name, method in METHODS.items() if name != "super-resolution")


def _offered(name: str) -> str:
    """A preset that the form offers: links from before the paper's two configurations say `paper`."""
    return "paper-lumina" if name == "paper" else name


FormPreset = Annotated[PresetName, AfterValidator(_offered)]


class ExtrapolationForm(Extrapolation):
    """An extrapolation as the tab holds it: its parts behind switches."""

    preset: FormPreset = Field("tuned", description="Sets every part and the folded settings.")
    size: Literal["2", "4", "own"] = Field("2", description="How many times larger each side becomes.")
    use_flow: bool = Field(True, description="Holds the large picture to the native one (section 2.2).")
    use_positions: bool = Field(True, description="Positions beyond the trained table.")
    use_reshift: bool = Field(True, description="More time near noise, as the size asks for (SD3, eq. 23).")
    use_attention: bool = Field(False, description="Sharper attention over more tokens.")
    use_text: bool = Field(False, description="The text weighs as much among more patches.")
    use_half_patch: bool = Field(False, description="Patch borders move by half a patch at every other step.")
    compare: tuple[str, ...] = Field(
        tuple(name for name in COMPARED if name != "projected"),
        description="Also made, from the same native picture and the same noise.",
    )


PARTS: Mapping[str, tuple[str, object, object]] = {
    "use_flow": ("method", "direct", "projected"),
    "use_positions": ("positions", PLAIN["positions"], "interpolate"),
    "use_reshift": ("reshift", PLAIN["reshift"], "auto"),
    "use_attention": ("attention", PLAIN["attention"], "log"),
    "use_text": ("text_copies", PLAIN["text_copies"], "auto"),
    "use_half_patch": ("half_patch", False, True),
}
"""Each switch: its setting, the value that switches it off, and one that does not."""

OPEN = tuple(name for name in ExtrapolationForm.model_fields if label(name, ExtrapolationForm).suggested)
"""Settings for which a value may be typed, with some to choose from."""
METHOD_TITLES: Mapping[str, Mapping[str, str]] = {
    "method": {name: METHODS[name].title for name in SHOWN},
    "compare": {name: METHODS[name].title for name in SHOWN if name != "projected"},
}
"""The choices of the settings that name methods, in words."""

HEAD = ("prompt", "preset", "size", "width", "height")
SWITCHES = tuple(PARTS)
LAST = ("compare",)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Projected flow": ("method", "strength", "low_pass", "level", "cutoff", "start", "cascade"),
    "Inference toolkit": ("positions", "rope_base", "reshift", "attention", "text_copies", "copies_at"),
    "Sampling": (
        *("model", "seed", "steps", "large_steps", "tail", "cfg", "guidance", "large_guidance", "solver"),
        *("lift", "posterior"),
    ),
}
NAMES = (*HEAD, *SWITCHES, *LAST, *(name for group in GROUPS.values() for name in group))
SEEN = frozenset((*NAMES, *(name for name, _, _ in PARTS.values())))
"""The settings that the form has a control for; what else a preset says applies unseen."""
PRESET_SETS = (*SWITCHES, *(name for name in ("strength", "low_pass", "tail", "posterior")))


def opening(spec: ModelSpec, preset: str = "tuned") -> dict[str, object]:
    """What every control holds at first."""
    plain = parse(ExtrapolationForm, {"prompt": "-", "seed": 0, "preset": preset})
    values = {name: getattr(plain, name) for name in NAMES}
    values |= {"prompt": "", "steps": spec.defaults.steps, "cfg": spec.defaults.cfg, "start": "auto"}
    values |= {"width": 2 * spec.native, "height": 2 * spec.native, "large_steps": spec.defaults.steps}
    values |= {"compare": list(plain.compare), "model": spec.name}
    return values | preset_values(preset, spec.family)


def preset_values(preset: str, family: Family = "sd3") -> dict[str, object]:
    """The values that a preset gives: its parts' switches, their settings, and the rest of it."""
    said = {name: Extrapolation.model_fields[name].default for name in PRESET_SETTINGS} | dict(
        preset_of(preset, family)
    )
    found: dict[str, object] = {}
    for switch, (name, off, on) in PARTS.items():
        found[switch] = said[name] != off
        if name in NAMES:
            found[name] = said[name] if said[name] != off else on
    rest = {name: said[name] for name in PRESET_SETTINGS if name in NAMES and name not in found}
    held = {name: "auto" if value is None else value for name, value in (found | rest).items()}
    return {name: typed(value) if name in OPEN else value for name, value in held.items()}


PRESET_SETTINGS = tuple(
    dict.fromkeys(
        name
        for presets in (PRESETS, *FAMILY_PRESETS.values())
        for preset in presets.values()
        for name in preset
    )
)
"""All settings that any preset speaks of, in any family."""


def requested(values: Mapping[str, object], *, own: bool = False) -> dict[str, Extrapolation]:
    """The extrapolations by name, the one that was asked for last. Raises Refusal with what is wrong.

    `own` is whether a picture of one's own stands in place of the native stage.
    """
    held = dict(values)
    for switch, (name, off, on) in PARTS.items():
        if not held.pop(switch):
            held[name] = off
        elif name not in NAMES:
            held[name] = on
    size, preset = held.pop("size"), str(held.pop("preset"))
    compare = tuple(str(name) for name in _listed(held.pop("compare")))
    if size == OWN:
        held["scale"] = None
    else:
        held |= {"scale": str(size), "width": None, "height": None}
    if held.get("start") == "auto":
        held["start"] = None
    if preset not in PRESETS:
        raise Refusal(f"preset is {preset!r}; choose one of {', '.join(PRESETS)}")
    family = find(str(held["model"])).family
    unseen = {name: value for name, value in preset_of(str(preset), family).items() if name not in SEEN}
    request = parse(Extrapolation, unseen | held)
    unknown = [name for name in compare if name not in METHODS]
    if unknown:
        raise Refusal(f"compare holds {unknown[0]!r}; choose from {', '.join(SHOWN)}")
    return method_arms(request, usable_methods(compare, request, own))


def with_all_methods(values: Mapping[str, object]) -> dict[str, object]:
    """The same settings, every method compared."""
    return {**values, "compare": list(SHOWN)}


def usable_methods(names: tuple[str, ...], request: Extrapolation, own: bool) -> tuple[str, ...]:
    """The methods among these that this request has the solver, the files and the native run for."""
    return tuple(
        name
        for name in names
        if (not METHODS[name].solvers or request.solver in METHODS[name].solvers)
        and (name != "super-resolution" or request.upscaler)
        and not (own and "trajectory" in METHODS[name].needs)
    )


def inactive(values: Mapping[str, object]) -> dict[str, str]:
    """The settings that change nothing with these others, each with the reason."""
    reasons: dict[str, str] = {}
    for switch, (name, _, _) in PARTS.items():
        if not values[switch]:
            reasons[name] = f"{label(switch).title} is switched off above."
    used = {str(values["method"]) if values["use_flow"] else "direct", *map(str, _listed(values["compare"]))}
    for name, methods in READ_BY.items():
        if not used & set(methods):
            known = " or ".join(METHODS[each].title for each in methods)
            reasons[name] = f"Only {known} reads it."
    if all(METHODS[each].positions or not METHODS[each].flows for each in used if each in METHODS):
        reasons["positions"] = "The method sets the positions itself."
    if all(METHODS[each].one_call or not METHODS[each].flows for each in used if each in METHODS):
        reasons |= dict.fromkeys(("large_steps", "tail", "lift"), "The method makes one call, of its own.")
    if values["low_pass"] == "haar-1":
        reasons.setdefault("level", "haar-1 is always level 1.")
    elif values["low_pass"] != "haar":
        reasons.setdefault("level", "Only haar has levels.")
    if str(values["low_pass"]).startswith("haar"):
        reasons.setdefault("cutoff", "Haar has levels and no cut-off.")
    if values["size"] != OWN:
        reasons |= dict.fromkeys(("width", "height"), "Choose Own size to set it.")
    spec = find(str(values["model"]))
    means = f"Means nothing for {Path(spec.name).name}: "
    reasons |= {name: f"{means}{reason}." for name, (_, reason) in lacking(spec).items()}
    unused = {name: why for name, why in without_effect(values, spec).items() if name == "guidance"}
    return reasons | unused


GUIDED = tuple(name for name in SHOWN if "guide" in METHODS[name].needs)
READ_BY: Mapping[str, tuple[str, ...]] = {
    "strength": ("projected", "upsample-guidance", "hiflow"),
    **dict.fromkeys(("low_pass", "level", "cutoff"), ("projected", "hiflow")),
    "start": tuple(name for name in GUIDED if not METHODS[name].one_call),
    "cascade": GUIDED,
}
"""Settings that some methods alone look at."""


def form_control(
    name: str, value: Any, *, spec: ModelSpec, models: Sequence[str], reason: str = ""
) -> Control:
    """The control of one setting of the tab."""
    if name in OPEN:
        value = typed(value)
    return control(
        name,
        value,
        kind=ExtrapolationForm,
        spec=spec,
        reason=reason,
        place="large",
        choices=METHOD_TITLES.get(name),
        models=models,
    )


def typed(value: object) -> str:
    """A value as it stands in a field that can be typed in."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
