"""What a person can ask for beyond a model's own size: a request, and how its picture is made larger.

`width` and `height` are the finished picture's, as in every request; the native stage is that many times
smaller. A field that is None follows from the scale.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, field_validator

from sd3demo.catalogue import Family, ModelSpec
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.flow.extrapolation.strengths import STRENGTHS, strength_of
from sd3demo.flow.extrapolation.tuning import POSITIONS, CopiesAt
from sd3demo.settings.families import EmbeddedScale
from sd3demo.settings.family_presets import FAMILY_PRESETS
from sd3demo.settings.reflection import OneOf, parse
from sd3demo.settings.request import Request, Resolved, Side, Steps

LowPassName = Literal["haar", "haar-1", "radial", "gaussian", "dct", "bicubic"]
"""The operators of flow.lowpass, which needs torch to be asked; a test holds the two together."""

Posterior = Literal["mean", "sample"]
Kernel = Literal["bicubic", "lanczos"]
Magnification = Annotated[float, Field(ge=1, le=16)]
Level = Annotated[int, Field(ge=0, le=6)]
Share = Annotated[float, Field(ge=0, le=1)]
Start = Annotated[float, Field(ge=0.01, le=1)]
RefineStart = Annotated[float, Field(ge=0.01, le=0.5)]
Copies = Annotated[float, Field(ge=0.01, le=256)]
RopeBase = Annotated[float, Field(ge=1, le=100)]
Reshift = Annotated[float, Field(ge=0.1, le=16)]


def _known_strength(name: str) -> str:
    strength_of(name)
    return name


def _known_method(name: str) -> str:
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return name


def _known_positions(name: str) -> str:
    if name not in POSITIONS:
        raise ValueError(f"unknown positions {name!r}; choose one of {', '.join(POSITIONS)}")
    return name


MethodName = Annotated[str, OneOf(*METHODS), AfterValidator(_known_method)]
StrengthName = Annotated[str, OneOf(*STRENGTHS), AfterValidator(_known_strength)]
PositionsName = Annotated[str, OneOf(*POSITIONS), AfterValidator(_known_positions)]


class Extrapolation(Request):
    """A picture beyond the model's own size, and everything that decides how it comes out."""

    scale: Magnification | None = Field(
        None, description="How many times larger than the native picture each side is; 2 by default."
    )
    method: MethodName = Field("projected", description="How the larger picture is held to the native one.")

    strength: StrengthName = Field(
        "paper",
        description="How strongly it is drawn to the native picture: a schedule, or points t:alpha such as "
        "1:1.5,0:0.5.",
    )
    low_pass: LowPassName = Field("haar", description="What of a picture counts as its composition.")
    level: Level | Literal["auto"] = Field(
        "auto", description="Of haar: blocks of 2^level latent pixels; auto is round(log2 scale)."
    )
    cutoff: Share | Literal["auto"] = Field(
        "auto",
        description="Of the other low-passes: a share of the latent's Nyquist frequency; auto is 1 / scale.",
    )
    start: Start | None = Field(
        None,
        description="The t from which the larger stages run, below 1 from the noised native picture; "
        "the method's own by default.",
    )
    cascade: str = Field(
        "straight",
        description="The scales on the way: straight, doubling, or such as 2,4; the last one is the target.",
    )
    large_steps: Steps | None = Field(
        None, description="Steps of each larger stage from t = 1; as many as the native one's by default."
    )
    tail: Annotated[int, Field(ge=0, le=8)] = Field(
        0, description="More steps near the data: each halves the last time before 0."
    )
    reshift: Reshift | Literal["auto", "1.5s"] = Field(
        "auto",
        description="The larger stages' shift over the native one's; auto is the scale s (SD3, eq. 23), 1.5s "
        "half as much again (I-Max for Flux).",
    )

    lift: Kernel = Field(
        "bicubic", description="How the native picture is enlarged, as the guide and for comparison."
    )
    posterior: Posterior = Field(
        "mean", description="What is taken of the autoencoder's answer to the enlarged picture."
    )

    positions: PositionsName = Field(
        "interpolate",
        description="Where the larger picture's patches lie in the table of positions; SD3's own rule is "
        "interpolate, per-frequency is for rotary embeddings.",
    )
    attention: Literal["off", "log", "paper"] = Field(
        "off",
        description="What attention logits are multiplied by: 1, sqrt(log_T L) of the keys (Jin et al. and "
        "I-Max's release), or the scale, as the I-Max paper prints it.",
    )
    text_copies: Copies | Literal["auto"] = Field(
        1.0, description="How many times each token of the text counts; auto is the scale squared."
    )
    copies_at: CopiesAt = Field(
        "origin",
        description="Where copies of the text stand: all at the text's own position, or at the corners of "
        "the native windows (FLUX.1).",
    )
    rope_base: RopeBase | Literal["auto"] = Field(
        "auto",
        description="What per-frequency positions multiply the base of RoPE by; auto is the scale, or 2.5 "
        "times it.",
    )
    large_guidance: EmbeddedScale = Field(
        "auto", description="Embedded guidance of the larger stages; auto is that of the native one."
    )
    half_patch: bool = Field(
        False, description="Move the borders between patches by half a patch at every second step."
    )
    upscaler: str = Field(
        "", description="A super-resolution model's file, for the methods super-resolution and sr-refine."
    )
    refine_start: RefineStart = Field(
        METHODS["sr-refine"].start,
        description="The t from which sr-refine's one call goes; 0.16 to 0.2 for pictures with text.",
    )

    @field_validator("cascade")
    @classmethod
    def _scales_that_rise(cls, text: str) -> str:
        if text in CASCADES:
            return text
        try:
            scales = [float(part) for part in text.split(",")]
        except ValueError as error:
            raise ValueError(
                f"is {text!r}; it must be {' or '.join(CASCADES)}, or rising scales such as 2,4"
            ) from error
        if not (scales[0] > 1 and all(low < high for low, high in pairwise(scales)) and scales[-1] <= 16):
            raise ValueError(f"is {text!r}; its scales must rise from above 1 to the target's, such as 2,4")
        return ",".join(f"{scale:.12g}" for scale in scales)


class ResolvedExtrapolation(Resolved, Extrapolation):
    """An extrapolation of which nothing is left open.

    What is `auto` stays so: it is a rule, which each stage of a cascade applies to its own size.
    """

    scale: Magnification
    native_width: Side = Field(description="Of the native stage, in pixels.")
    native_height: Side = Field(description="Of the native stage, in pixels.")
    start: Start
    large_steps: Steps
    own_picture: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description="The SHA-256 of a picture of one's own in place of the native stage.",
    )


CASCADES = ("straight", "doubling")

PLAIN: Mapping[str, object] = {
    "positions": "extend",
    "attention": "off",
    "text_copies": 1.0,
    "half_patch": False,
    "reshift": 1.0,
}
"""The network as it is, at a size that it was not trained at."""

_PAPER: Mapping[str, object] = {
    "method": "projected",
    "start": 1.0,
    "strength": "paper",
    "low_pass": "haar-1",
    "half_patch": False,
    "tail": 0,
    "posterior": "sample",
}
"""What both of the I-Max paper's configurations share; the low-pass and the posterior are the release's."""

PRESETS: Mapping[str, Mapping[str, object]] = {
    "paper-lumina": {
        **_PAPER,
        "positions": "per-frequency",
        "reshift": "auto",
        "attention": "log",
        "text_copies": 1.0,
    },
    "paper-flux": {
        **_PAPER,
        "positions": "per-frequency-2.5",
        "reshift": "1.5s",
        "attention": "log",
        "text_copies": "auto",
    },
    "release": {
        "method": "projected",
        "start": 1.0,
        "strength": "cosine-shift",
        "low_pass": "haar-1",
        "positions": "per-frequency",
        "attention": "log",
        "text_copies": "auto",
        "half_patch": True,
        "reshift": 2.0,
        "tail": 0,
        "posterior": "sample",
    },
    "tuned": {
        "method": "projected",
        "strength": "cosine-shift",
        "low_pass": "gaussian",
        "start": 0.5,
        "tail": 2,
        "reshift": 1.0,
        "positions": "interpolate",
        "attention": "off",
        "text_copies": 1.0,
        "half_patch": True,
        "posterior": "mean",
    },
}
"""Settings by name: the two configurations of the I-Max paper, its authors' release's, and those that were
measured best here.

The paper (section 2.3) has the base b s and the shift s for Lumina-Next-2K, whose text is not in the sequence
and so is not duplicated, and 2.5 b s, 1.5 s and s^2 copies for Flux.1-dev. Its attention is that of Jin et
al., whose factor is sqrt(log_T L).

`tuned` was chosen on the embedded model trained at several sizes, with 8 steps of the larger stage: a start
at t = .5 leaves four of them, and the tail adds two. It needs a model that denoises at the larger size. On
`tiny-sizes`, from true native pictures, n = 54 prompts, nine of each of GenEval's categories: every picture
obeys, and its patches are nearer to the same scene, drawn at that size, than the upsampled picture's on .78
of the prompts at twice the side (the scene itself through the autoencoder: .89), on .81 at three times and
on .85 at four, sizes that were never trained; spectra 2.2 and 9.0 dB, 4.1 and 13.7, 6.6 and 15.9.
"""

FORMER: Mapping[str, Mapping[str, object]] = {
    "paper": {
        **_PAPER,
        "positions": "per-frequency",
        "reshift": "auto",
        "attention": "paper",
        "text_copies": "auto",
    },
    "ours": PRESETS["tuned"],
}
"""Names that older links, commands and recorded studies have: they open as they did.

`paper` is neither of the paper's configurations: Lumina's base and shift with Flux's copies of the text, and
attention times s.
"""


def _known_preset(name: str) -> str:
    preset_of(name)
    return "tuned" if name == "ours" else name


def preset_of(name: str, family: Family = "sd3") -> Mapping[str, object]:
    """The settings of a preset, by its name or a former one. Raises ValueError for an unknown one."""
    if name not in PRESETS and name not in FORMER:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    shared = PRESETS[name] if name in PRESETS else FORMER[name]
    return {**shared, **FAMILY_PRESETS.get(family, {}).get(name, {})}


PresetName = Annotated[str, OneOf(*PRESETS), AfterValidator(_known_preset)]
RecordedPresetName = Annotated[str, OneOf(*PRESETS, "paper"), AfterValidator(_known_preset)]
"""The presets and the former `paper`, so that a study that was recorded with it can be run again."""

E = TypeVar("E", bound=Extrapolation)


def with_preset(request: Extrapolation, name: str, family: Family = "sd3") -> Extrapolation:
    """The request with a preset in place of what it does not say itself."""
    said = request.model_dump(include=request.model_fields_set)
    return parse(Extrapolation, {**preset_of(name, family), **said})


def lacking(spec: ModelSpec) -> dict[str, tuple[object, str]]:
    """The settings that a model's network does not have: the value that leaves it be, and the reason."""
    can = spec.can
    reasons = {
        "positions": (can.positions != "none", "extend", "it has no positions"),
        "attention": (can.attention_scale, "off", "its attention is not ours to scale"),
        "text_copies": (can.text_copies, 1.0, "the text is not in the sequence"),
        "half_patch": (can.half_patch, False, "its patches cannot be moved"),
        "copies_at": (can.grid_copies, "origin", "its text has no positions"),
        "rope_base": (can.positions == "rope", "auto", "its positions are no rotary embedding"),
        "large_guidance": (can.guidance == "embedded", "auto", "it reads no guidance scale"),
    }
    return {
        name: (neutral, can.reasons.get(name, reason))
        for name, (able, neutral, reason) in reasons.items()
        if not able
    }


def native_of(request: ResolvedExtrapolation) -> Resolved:
    """The plain request that makes the native picture."""
    values = {name: getattr(request, name) for name in Resolved.model_fields}
    return Resolved.model_validate(values | {"width": request.native_width, "height": request.native_height})


def method_arms(request: Extrapolation, methods: tuple[str, ...]) -> dict[str, Extrapolation]:
    """The same request by several methods, the request's own last."""
    names = dict.fromkeys((*(name for name in methods if name != request.method), request.method))
    return {name: parse(type(request), request.model_dump() | {"method": name}) for name in names}


COMPARED = ("upsample", "direct", "projected")
"""What a comparison shows unless it is told otherwise."""
