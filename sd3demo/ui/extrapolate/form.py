"""The settings of the Extrapolate tab, how they look, and the extrapolations that they ask for. Pure.

Each part of the method has a switch beside its setting: switched off, the network is as it was trained.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import gradio as gr
from pydantic import Field

from sd3demo.catalogue import ModelSpec
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings import bounds_of, choices_of, is_whole, parse
from sd3demo.settings.extrapolation import COMPARED, PLAIN, PRESETS, Extrapolation, method_arms
from sd3demo.ui.controls.labels import face, typeset

Control: TypeAlias = (
    gr.Slider | gr.Number | gr.Radio | gr.Dropdown | gr.Textbox | gr.Checkbox | gr.CheckboxGroup
)
Preset = Literal["paper", "release", "ours"]

OWN = "own"
SHOWN = tuple(name for name, method in METHODS.items() if name != "super-resolution")


class Bench(Extrapolation):
    """An extrapolation as the tab holds it: its parts behind switches."""

    preset: Preset = Field("ours", description="Sets all parts and everything folded away below.")
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


PARTS: Mapping[str, tuple[str, str, object, object]] = {
    "use_flow": ("Projected flow", "method", "direct", "projected"),
    "use_positions": ("Positions", "positions", PLAIN["positions"], "interpolate"),
    "use_reshift": ("Time shift", "reshift", PLAIN["reshift"], "auto"),
    "use_attention": ("Attention scale", "attention", PLAIN["attention"], "log"),
    "use_text": ("Text duplication", "text_copies", PLAIN["text_copies"], "auto"),
    "use_half_patch": ("Half-patch shift", "half_patch", False, True),
}
"""Each switch: its title, its setting, the value that switches it off, and one that does not."""

TITLES: Mapping[str, str] = {
    "preset": "Preset",
    "size": "Size",
    "compare": "Compare with",
    "method": "Method",
    "strength": "Strength α",
    "low_pass": "Low-pass P",
    "level": "Haar level",
    "cutoff": "Cut-off",
    "start": "Start t₀",
    "cascade": "Cascade",
    "large_steps": "Steps at the larger size",
    "tail": "More steps near data",
    "reshift": "Shift over the native one",
    "lift": "Enlarged by",
    "posterior": "Posterior",
    "positions": "Positions",
    "attention": "Attention logits times",
    "text_copies": "Copies of the text",
    **{switch: part[0] for switch, part in PARTS.items()},
}

PRESET_NAMES = {"paper": "The paper", "release": "Authors’ release", "ours": "Ours"}
SIZES = {"2": "2×", "4": "4×", OWN: "Own size"}
OPEN: Mapping[str, tuple[str, ...]] = {
    "level": ("auto", "1", "2", "3"),
    "cutoff": ("auto", "0.125", "0.25", "0.5"),
    "start": ("auto", "0.9", "0.7", "0.5"),
    "reshift": ("auto", "1", "1.5", "2", "4"),
    "text_copies": ("auto", "1", "2", "4", "16"),
    "strength": ("paper", "release", "constant", "cosine-shift", "off", "1:1.5,0:0.5"),
    "cascade": ("straight", "doubling", "2,4"),
}
"""Settings for which a value may be typed, with some to choose from."""

HEAD = ("prompt", "preset", "size", "width", "height")
SWITCHES = tuple(PARTS)
LAST = ("compare",)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Projected flow": ("method", "strength", "low_pass", "level", "cutoff", "start", "cascade"),
    "Inference toolkit": ("positions", "reshift", "attention", "text_copies"),
    "Sampling": ("model", "seed", "steps", "large_steps", "tail", "cfg", "solver", "lift", "posterior"),
}
NAMES = (*HEAD, *SWITCHES, *LAST, *(name for group in GROUPS.values() for name in group))
PRESET_SETS = (*SWITCHES, *(name for name in ("strength", "low_pass", "tail", "posterior")))


def opening(spec: ModelSpec, preset: str = "ours") -> dict[str, object]:
    """What every control holds at first."""
    plain = parse(Bench, {"prompt": "-", "seed": 0, "preset": preset})
    values = {name: getattr(plain, name) for name in NAMES}
    values |= {"prompt": "", "steps": spec.defaults.steps, "cfg": spec.defaults.cfg, "start": "auto"}
    values |= {"width": 2 * spec.native, "height": 2 * spec.native, "large_steps": spec.defaults.steps}
    values |= {"compare": list(plain.compare), "model": spec.name}
    return values | chosen(preset)


def chosen(preset: str) -> dict[str, object]:
    """The values that a preset gives: its parts' switches, their settings, and the rest of it."""
    said = {name: Extrapolation.model_fields[name].default for name in FROM_PRESET} | dict(PRESETS[preset])
    found: dict[str, object] = {}
    for switch, (_, name, off, on) in PARTS.items():
        found[switch] = said[name] != off
        if name in NAMES:
            found[name] = said[name] if said[name] != off else on
    rest = {name: said[name] for name in FROM_PRESET if name in NAMES and name not in found}
    held = {name: "auto" if value is None else value for name, value in (found | rest).items()}
    return {name: typed(value) if name in OPEN else value for name, value in held.items()}


FROM_PRESET = tuple(dict.fromkeys(name for preset in PRESETS.values() for name in preset))
"""All settings that any preset speaks of."""


def asked(values: Mapping[str, object], *, own: bool = False) -> dict[str, Extrapolation]:
    """The extrapolations by name, the one that was asked for last. Raises Refusal with what is wrong.

    `own` is whether a picture of one's own stands in place of the native stage.
    """
    held = dict(values)
    for switch, (_, name, off, on) in PARTS.items():
        if not held.pop(switch):
            held[name] = off
        elif name not in NAMES:
            held[name] = on
    size, preset = held.pop("size"), held.pop("preset")
    compare = tuple(str(name) for name in _listed(held.pop("compare")))
    if size == OWN:
        held["scale"] = None
    else:
        held |= {"scale": float(str(size)), "width": None, "height": None}
    if held.get("start") == "auto":
        held["start"] = None
    if preset not in PRESET_NAMES:
        raise Refusal(f"preset is {preset!r}; choose one of {', '.join(PRESET_NAMES)}")
    request = parse(Extrapolation, held)
    unknown = [name for name in compare if name not in METHODS]
    if unknown:
        raise Refusal(f"compare holds {unknown[0]!r}; choose from {', '.join(SHOWN)}")
    return method_arms(request, suited(compare, request, own))


def suited(names: tuple[str, ...], request: Extrapolation, own: bool) -> tuple[str, ...]:
    """The methods among these that this request has the solver, the files and the native run for."""
    return tuple(
        name
        for name in names
        if (not METHODS[name].solvers or request.solver in METHODS[name].solvers)
        and (name != "super-resolution" or request.upscaler)
        and not (own and "trajectory" in METHODS[name].needs)
    )


def dormant(values: Mapping[str, object]) -> dict[str, str]:
    """The settings that change nothing with these others, each with the reason."""
    reasons: dict[str, str] = {}
    for switch, (title, name, _, _) in PARTS.items():
        if not values[switch]:
            reasons[name] = f"{title} is switched off above."
    used = {str(values["method"]) if values["use_flow"] else "direct", *map(str, _listed(values["compare"]))}
    for name, methods in READ_BY.items():
        if not used & set(methods):
            known = " or ".join(METHODS[each].title for each in methods)
            reasons[name] = f"Nothing here reads it; {known} would."
    if all(METHODS[each].positions or not METHODS[each].flows for each in used if each in METHODS):
        reasons["positions"] = "Nothing here reads it: the method sets the positions itself."
    if values["low_pass"] == "haar-1":
        reasons.setdefault("level", "haar-1 is always level 1.")
    elif values["low_pass"] != "haar":
        reasons.setdefault("level", "Only haar has levels.")
    if str(values["low_pass"]).startswith("haar"):
        reasons.setdefault("cutoff", "Haar has levels and no cut-off.")
    if values["size"] != OWN:
        reasons |= dict.fromkeys(("width", "height"), "For an own size.")
    return reasons


GUIDED = tuple(name for name in SHOWN if "guide" in METHODS[name].needs)
READ_BY: Mapping[str, tuple[str, ...]] = {
    "strength": ("projected", "upsample-guidance", "hiflow"),
    **dict.fromkeys(("low_pass", "level", "cutoff"), ("projected", "hiflow")),
    **dict.fromkeys(("start", "cascade"), GUIDED),
}
"""Settings that some methods alone look at."""


def control(name: str, value: Any, reason: str = "") -> Control:
    """The control of one setting: its bounds and its help are those of its field."""
    field = Bench.model_fields[name]
    looks: dict[str, Any] = {
        "label": title_of(name),
        "info": reason or help_of(name),
        "elem_id": f"large-{name}",
        "interactive": not reason,
    }
    bounds, names = bounds_of(field), choices_of(field)
    if name == "compare":
        choices = [(METHODS[each].title, each) for each in SHOWN if each != "projected"]
        return gr.CheckboxGroup(choices, value=value, **looks)
    if isinstance(value, bool):
        return gr.Checkbox(value, **looks)
    if name in ("preset", "size"):
        pairs = [(title, each) for each, title in (PRESET_NAMES if name == "preset" else SIZES).items()]
        return gr.Radio(pairs, value=value, **looks)
    if name in OPEN:
        return gr.Dropdown(list(OPEN[name]), value=typed(value), allow_custom_value=True, **looks)
    if bounds and name not in ("width", "height", "seed"):
        low, high = face(name).usual or bounds
        return gr.Slider(low, high, value, step=1 if is_whole(field) else 0.1, buttons=[], **looks)
    if bounds:
        return gr.Number(value, precision=0, **looks)
    if names:
        titles = face(name).names or {each: METHODS[each].title for each in names if name == "method"}
        known = [each for each in names if each != "super-resolution"]
        return gr.Dropdown([(titles.get(each, each), each) for each in known], value=value, **looks)
    return gr.Textbox(str(value), max_lines=4, placeholder=face(name).hint, **looks)


def title_of(name: str) -> str:
    return TITLES.get(name) or face(name).title


def help_of(name: str) -> str:
    return typeset(Bench.model_fields[name].description or "")


def typed(value: object) -> str:
    """A value as it stands in a field that can be typed in."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
