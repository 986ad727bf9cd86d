"""How the settings look on the page, beyond what they say of themselves: titles, groups, choices in words.

A setting that is not named here still appears, under its own name, in the last group.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sd3demo.settings import Request


@dataclass(frozen=True)
class Face:
    """A setting's title, and what its control needs to know beside the bounds.

    `usual` are the ends of its slider where the bounds are wider than anybody would drag; a value beyond them
    widens the slider.
    """

    title: str
    usual: tuple[float, float] = (0, 0)
    step: float = 0
    names: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""
    lines: Mapping[str, str] = field(default_factory=dict)
    """What each choice means, where their names leave it open."""


@dataclass(frozen=True)
class Group:
    """Settings that are thought about together, under one heading."""

    title: str
    fields: tuple[str, ...]
    open: bool = False


TIMES = {
    "uniform": "<code>S(1 − k/N)</code>; S is the shift.",
    "single": "<code>S(1 − 0.999 k/(N − 1))</code>, then 0.",
    "diffusers": "<code>S(1 − (1 − S(1/1000)) k/(N − 1))</code>, then 0: its tail is shifted twice.",
    "linear": "<code>1 − k/N</code>, never shifted.",
    "comfy": "<code>S(1 − ⌊1000 k/N⌋/1000)</code>, then 0.",
}
"""The time before step k = 0, 1, … of N, by each convention of flow.grids; a test computes them."""

ON_OR_ZEROS = {"on": "On", "zeros": "Zeros"}

FACES: Mapping[str, Face] = {
    "prompt": Face("Prompt", hint="a red circle above a blue square"),
    "negative": Face("Negative prompt", hint="nothing"),
    "model": Face("Model"),
    "seed": Face("Seed"),
    "count": Face("Pictures at once"),
    "width": Face("Width"),
    "height": Face("Height"),
    "steps": Face("Steps"),
    "cfg": Face("Guidance scale", usual=(1, 12), step=0.1),
    "cfg_from": Face("Guidance from t", step=0.01),
    "cfg_to": Face("Guidance up to t", step=0.01),
    "solver": Face(
        "Solver",
        names={
            "euler": "Euler",
            "midpoint": "Midpoint",
            "heun": "Heun",
            "rk4": "Runge-Kutta 4",
            "ab2": "Adams-Bashforth 2",
        },
    ),
    "schedule": Face("Schedule", lines=TIMES),
    "shift": Face("Shift", usual=(0.1, 12), step=0.05),
    "t5": Face(
        "T5",
        names={**ON_OR_ZEROS, "omit": "Left out", "empty": "Empty text"},
        lines={
            "zeros": "as SD3's pipeline does without T5: its tokens are 0, and the network attends to them.",
            "omit": "its tokens are gone from the sequence, so nothing is attended to in their place.",
            "empty": "T5 reads a text of no words, as it does for the branch without the prompt.",
        },
    ),
    "clip_l": Face("CLIP-L", names=ON_OR_ZEROS),
    "clip_g": Face("CLIP-G", names=ON_OR_ZEROS),
    "prompt_2": Face("Own text for CLIP-G", hint="the prompt"),
    "prompt_3": Face("Own text for T5", hint="the prompt"),
    "max_sequence_length": Face("T5 tokens"),
    "precision": Face("Precision"),
    "placement": Face("Placement of the weights"),
}

HEADING = ("prompt", "seed")
"""What stands above all groups."""

GROUPS = (
    Group("Sampling", ("steps", "cfg", "shift", "solver", "schedule"), open=True),
    Group("Text", ("t5", "clip_l", "clip_g", "negative", "prompt_2", "prompt_3")),
    Group("Size and number", ("width", "height", "count")),
)
LAST = Group("Advanced", ("model", "cfg_from", "cfg_to", "max_sequence_length", "precision", "placement"))


def face(name: str) -> Face:
    """A setting's face; its name in words where it has none of its own."""
    return FACES.get(name) or Face(name.replace("_", " ").capitalize())


def groups(fields: Iterable[str] = tuple(Request.model_fields)) -> Iterator[Group]:
    """Every setting but those of the heading, each in one group."""
    yield from GROUPS
    placed = {*HEADING, *LAST.fields}.union(*(group.fields for group in GROUPS))
    new = tuple(name for name in fields if name not in placed)
    yield Group(LAST.title, LAST.fields + new)


def typeset(text: str) -> str:
    """A sentence of the settings with the signs of mathematics in place of those of a keyboard."""
    text = re.sub(r"\b([tvsz])'(?!s\b)", r"\1′", text).replace("sqrt(", "√(")
    return re.sub(r"(?<=[\w)]) - (?=[\w(])", " − ", text)
