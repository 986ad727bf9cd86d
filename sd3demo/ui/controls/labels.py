"""How settings look on the page, beyond what they say of themselves: titles, groups, choices in words.

A setting that is not named here still appears, under its own name, in the last group.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sd3demo.settings import Request, Settings, choices_of


@dataclass(frozen=True)
class Label:
    """A setting's title, and what its control needs to know beside the bounds.

    `usual` are the ends of its slider where the bounds are wider than anybody would drag; a value beyond them
    widens the slider. `help` stands on the page in place of the field's own sentence.
    """

    title: str
    help: str = ""
    usual: tuple[float, float] | None = None
    step: float = 0
    typed: bool = False
    """A number that is typed and not dragged."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The choices in words."""
    suggested: tuple[str, ...] = ()
    """Values to choose from, where any other may be typed."""
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

SCALES = ("auto", "1.5", "2.5", "3.5", "5", "7")

LABELS: Mapping[str, Label] = {
    "prompt": Label("Prompt", "Describe the picture.", hint="a red circle above a blue square"),
    "negative": Label("Negative prompt", "What to avoid; CFG leads away from it.", hint="empty"),
    "model": Label("Model"),
    "seed": Label("Seed", "Same seed, same noise. A batch uses seed, seed + 1, …"),
    "count": Label("Batch size"),
    "width": Label("Width", "Pixels."),
    "height": Label("Height", "Pixels."),
    "steps": Label("Steps", "More steps take longer and follow the path more closely."),
    "cfg": Label(
        "CFG scale", "How closely the prompt is followed; 1 is off and takes half the time.", (1, 12), 0.1
    ),
    "guidance": Label("Guidance", "Embedded: the network reads the scale.", suggested=SCALES),
    "cfg_from": Label("CFG from t", step=0.01),
    "cfg_to": Label("CFG up to t", step=0.01),
    "skip_scale": Label("Skip-layer guidance", "For SD3.5-medium; 0 is off.", step=0.1),
    "skip_layers": Label("Skipped layers", "Block numbers, such as 7,8,9.", hint="the model's own"),
    "skip_from": Label("Skip-layer guidance from t", step=0.01),
    "skip_to": Label("Skip-layer guidance up to t", step=0.01),
    "solver": Label(
        "Sampler",
        "How the steps are integrated: Euler asks the network once a step, the others more often.",
        names={
            "euler": "Euler",
            "midpoint": "Midpoint",
            "heun": "Heun",
            "rk4": "Runge-Kutta 4",
            "ab2": "Adams-Bashforth 2",
        },
    ),
    "schedule": Label("Scheduler", "How the sigmas are spaced from 1 to 0.", lines=TIMES),
    "shift": Label("Shift", "More steps near noise; larger pictures need more.", (0.1, 12), 0.05),
    "t5": Label(
        "T5",
        names={**ON_OR_ZEROS, "omit": "Left out", "empty": "Empty text"},
        lines={
            "zeros": "as SD3's pipeline does without T5: its tokens are 0, and the network attends to them.",
            "omit": "its tokens are gone from the sequence, so nothing is attended to in their place.",
            "empty": "T5 reads a text of no words, as it does for the branch without the prompt.",
        },
    ),
    "clip_l": Label("CLIP-L", names=ON_OR_ZEROS),
    "clip_g": Label("CLIP-G", names=ON_OR_ZEROS),
    "uncond": Label("Unconditional", names={"encoded": "Encoded text", "zeros": "Zeros"}),
    "prompt_2": Label("Own text for CLIP-G", hint="the prompt"),
    "prompt_3": Label("Own text for T5", hint="the prompt"),
    "max_sequence_length": Label("Text tokens"),
    "renorm": Label(
        "Renormalised guidance",
        "Lumina: the guided velocity gets the norm of the conditional one.",
        names={"auto": "Model’s own", "off": "Off", "rows": "Rows", "whole": "Whole picture"},
    ),
    "cfg_truncation": Label("CFG in this share of steps", "Lumina: the first steps, from noise.", step=0.01),
    "guided_channels": Label("Guided channels", names={"all": "All", "three": "Three"}),
    "system_prompt": Label("System prompt", "Lumina-Image 2.0: before the prompt. Empty is none."),
    "lora": Label("LoRAs", "Names on offer here with their weights, such as style.safetensors:0.8."),
    "lora_sha256": Label("LoRA files"),
    "init": Label("Picture"),
    "mask": Label("Mask"),
    "image_strength": Label(
        "Denoising strength", "How much of the picture is changed: t where the run begins.", step=0.01
    ),
    "strength_as": Label("Strength is", names={"time": "A time t", "steps": "A share of the steps"}),
    "init_sha256": Label("Picture to start from"),
    "mask_sha256": Label("Mask"),
    "precision": Label("Precision"),
    "placement": Label("Weights placement"),
    "large_encoder": Label(
        "T5 or Gemma",
        names={
            "auto": "As the network",
            "int8": "8 bits",
            "int4": "4 bits",
            "cpu": "On the CPU",
            "cpu-bfloat16": "On the CPU, bfloat16",
            "cpu-int8": "On the CPU, 8 bits",
        },
    ),
    # of an extrapolation
    "preset": Label(
        "Preset",
        names={
            "paper-lumina": "The paper, for Lumina",
            "paper-flux": "The paper, for Flux",
            "release": "Authors’ release",
            "tuned": "Tuned for this model",
            "paper": "Lumina’s and Flux’s mixed, as before",
        },
    ),
    "size": Label("Size", names={"2": "2×", "4": "4×", "own": "Own size"}),
    "compare": Label("Compare with"),
    "method": Label("Method"),
    "strength": Label(
        "Strength α",
        "How strongly it follows the native picture.",
        suggested=("paper", "release", "constant", "cosine-shift", "off", "1:1.5,0:0.5"),
    ),
    "low_pass": Label("Low-pass P"),
    "level": Label("Haar level", "How coarse the blocks are.", suggested=("auto", "1", "2", "3")),
    "cutoff": Label("Cut-off", "Which frequencies count as low.", suggested=("auto", "0.125", "0.25", "0.5")),
    "start": Label(
        "Start t₀", "Below 1: from the native picture with noise.", suggested=("auto", "0.9", "0.7", "0.5")
    ),
    "cascade": Label("Cascade", "Sizes on the way.", suggested=("straight", "doubling", "2,4")),
    "large_steps": Label("Steps at the larger size", "From t = 1."),
    "tail": Label("More steps near data"),
    "reshift": Label(
        "Shift over the native one",
        "More steps near noise; auto follows the size.",
        suggested=("auto", "1.5s", "1", "1.5", "2", "4"),
    ),
    "lift": Label("Upscaled by"),
    "posterior": Label("Posterior", "The encoded guide: its mean, or a sample."),
    "positions": Label("Positions", "Where patches beyond the trained ones lie."),
    "attention": Label("Attention logits times", "Sharper attention over more patches."),
    "text_copies": Label(
        "Copies of the text", "How much each word counts.", suggested=("auto", "1", "2", "4", "16")
    ),
    "copies_at": Label("Copies stand", names={"origin": "With the text", "grid": "On a grid"}),
    "rope_base": Label("Base of RoPE times", suggested=("auto", "2", "4", "10")),
    "large_guidance": Label("Guidance at the larger size", suggested=SCALES),
    "use_flow": Label("Projected flow"),
    "use_positions": Label("Positions"),
    "use_reshift": Label("Time shift"),
    "use_attention": Label("Attention scale"),
    "use_text": Label("Text duplication"),
    "use_half_patch": Label("Half-patch shift"),
    # of the exact field
    "field_data": Label("Data", names={"clusters": "Four clusters", "normal": "Normal"}),
    "sde_data": Label("Data", names={"clusters": "Four clusters", "normal": "Normal"}),
    "sde_eta": Label("Noise η", step=0.1),
    "plane_w": Label("Guidance scale w", step=0.1),
    "field_t": Label("Time t", step=0.01),
    "field_x": Label("First coordinate of z", step=0.05),
    "field_y": Label("Second coordinate of z", step=0.05),
    # of studies
    "n": Label("Prompts per category", usual=(1, 100)),
    "scenes": Label("Scenes", usual=(1, 100)),
    "categories": Label("Categories", hint="all"),
    "exam_seed": Label("Seed of the prompts", typed=True),
    "along": Label("Which setting varies?"),
    "values": Label("Values to try", hint="some usual ones"),
    "models": Label("Models", hint="all depths"),
    "scales": Label("Sizes, in native sides"),
    "budgets": Label("Network calls"),
    "formulations": Label(
        "Formulations",
        names={"all": "All", "densities": "Densities of the flow", "paths": "Flow and other paths"},
    ),
    "plane_data": Label("Data in the plane"),
    "training_steps": Label("Training steps", typed=True),
    "solvers": Label("Samplers"),
    # of densities and of the flow lab
    "densities": Label("Densities"),
    "density": Label(
        "Density of the training times",
        names={"uniform": "Uniform", "logit-normal": "Logit-normal", "mode": "Mode", "cosmap": "CosMap"},
    ),
    "m": Label("Logit-normal: location m", step=0.05),
    "s": Label("Logit-normal: scale s", step=0.05),
    "mode_s": Label("Mode: scale s", usual=(-1, 1.75), step=0.01),
    "pixels": Label("Pixels m, after", typed=True),
    "native": Label("Pixels n, before", typed=True),
    "trained_shifted": Label("Training is shifted as well"),
    "data": Label("Data"),
    # of links
    "run": Label("Run"),
    "replace": Label("A word of the prompt"),
    "grid_x": Label("From left to right"),
    "grid_y": Label("From top to bottom"),
    "grid_across": Label("Values from left to right"),
    "grid_down": Label("Values from top to bottom"),
    "reseed": Label("Random seed for each run"),
    "compared": Label("Overlay the previous run"),
    "t": Label("t"),
}

OF_CLASS: Mapping[str, Mapping[str, Label]] = {
    "ExamSettings": {"seed": Label("Seed of the noise", typed=True)},
    "Race": {"n": Label("Seeds", usual=(1, 10)), "budgets": Label("Steps of the sampler")},
    "VelocityLoss": {"n": Label("Scenes", usual=(1, 100))},
    "Extrapolation": {
        "width": Label("Width", "Pixels.", typed=True),
        "height": Label("Height", "Pixels.", typed=True),
    },
    "DensitySettings": {"shift": Label("Shift α", usual=(0.1, 12), step=0.05)},
    "FlowSettings": {
        "shift": Label("Shift α", usual=(0.1, 12), step=0.05),
        "steps": Label("Training steps", step=100),
    },
}
"""Settings that one class of settings, and those that inherit from it, call otherwise."""


HEADING = ("model", "prompt", "seed")
"""What stands above all groups."""

GROUPS = (
    Group("Sampling", ("steps", "cfg", "guidance", "shift", "solver", "schedule"), open=True),
    Group("Text", ("t5", "clip_l", "clip_g", "negative", "uncond", "prompt_2", "prompt_3", "system_prompt")),
    Group("Size and batch", ("width", "height", "count")),
    Group("LoRA", ("lora",)),
    Group("Image to image", ("init", "mask", "image_strength", "strength_as")),
)
LAST = Group(
    "Advanced",
    (
        *("cfg_from", "cfg_to", "skip_scale", "skip_layers", "skip_from", "skip_to"),
        *("renorm", "cfg_truncation", "guided_channels"),
        *("max_sequence_length", "precision", "placement", "large_encoder"),
    ),
)


def label(name: str, kind: type[Settings] = Request) -> Label:
    """Return how a setting looks; one without a label of its own has its name in words."""
    for ancestor in kind.__mro__:
        if found := OF_CLASS.get(ancestor.__name__, {}).get(name):
            return found
    return LABELS.get(name) or Label(name.replace("_", " ").capitalize())


def titles(kind: type[Settings]) -> dict[str, str]:
    """What each setting is called on the page, for a sentence about it."""
    return {name: label(name, kind).title for name in kind.model_fields}


def help_of(name: str, kind: type[Settings] = Request) -> str:
    """A setting's help on the page, its equations set."""
    field = kind.model_fields.get(name)
    return label(name, kind).help or typeset((field.description if field else "") or "")


def lines_of(name: str) -> str:
    """What each choice of a setting means, folded away, as HTML; empty where their names say it."""
    look = label(name)
    lines = ((look.names.get(choice, choice), line) for choice, line in look.lines.items())
    items = "".join(f"<p><b>{title}</b>: {line}</p>" for title, line in lines)
    return f"<details class='lines'><summary>What they mean</summary>{items}</details>" if items else ""


def choice_titles(name: str, kind: type[Settings] = Request) -> list[tuple[str, str]]:
    """The choices of a setting in words, each with its value."""
    names = label(name, kind).names
    return [(names.get(choice, choice), choice) for choice in choices_of(kind.model_fields[name])]


def groups(fields: Iterable[str] = tuple(Request.model_fields)) -> Iterator[Group]:
    """Every one of these settings but those of the heading, each in one group."""
    wanted = tuple(fields)
    placed = {*HEADING, *LAST.fields}.union(*(group.fields for group in GROUPS))
    new = tuple(name for name in wanted if name not in placed)
    for group in (*GROUPS, replace(LAST, fields=LAST.fields + new)):
        there = tuple(name for name in group.fields if name in wanted)
        if there:
            yield replace(group, fields=there)


def typeset(text: str) -> str:
    """A sentence of the settings with the signs of mathematics in place of those of a keyboard."""
    text = re.sub(r"\b([tvsz])'(?!s\b)", r"\1′", text).replace("sqrt(", "√(")
    return re.sub(r"(?<=[\w)]) - (?=[\w(])", " − ", text)
