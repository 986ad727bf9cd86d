"""What a person can ask for, with the bounds and the help beside each field.

The form, the flags, the JSON and a run's identity all come from here: a new field appears in all four. A
field that is None takes the model's own value, which the plan fills in.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from sd3demo.catalogue import EncoderInput, ModelSpec
from sd3demo.errors import Refusal
from sd3demo.flow.grids import Convention
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings.families import (
    OPTIONS,
    FamilyOptions,
    FluxOptions,
    Lumina2Options,
    LuminaNextOptions,
    SD3Options,
    Time,
    Tokens,
)
from sd3demo.settings.image_to_image import ImageToImage, idle_without_init
from sd3demo.settings.large_encoder import LargeEncoderName, idle_encoder
from sd3demo.settings.lora_options import LoraOptions
from sd3demo.settings.reflection import OneOf, Settings, quoted
from sd3demo.settings.texts import Prompt, Text

LAST_SEED = 2**32 - 1


def _known_solver(name: str) -> str:
    if name not in SOLVERS:
        raise ValueError(f"unknown solver {quoted(name)}; choose one of {', '.join(SOLVERS)}")
    return name


Solver = Annotated[str, OneOf(*SOLVERS), AfterValidator(_known_solver)]
Side = Annotated[int, Field(ge=8, le=8192)]
Steps = Annotated[int, Field(ge=1, le=100)]


def _none_is_one(scale: object) -> object:
    """Models that were distilled to need no guidance are often used "at 0": that is the scale 1 here."""
    return 1.0 if scale in (0, "0", "0.0") and not isinstance(scale, bool) else scale


Scale = Annotated[float, Field(ge=1, le=30), BeforeValidator(_none_is_one)]
Shift = Annotated[float, Field(ge=0.1, le=100)]
Sha256 = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]


class PictureSettings(Settings):
    """What every model family is asked for: the text, the noise, the size and how it is sampled."""

    prompt: Prompt = Field(description="What the picture should show.")
    negative: Text = Field("", description="What guidance should lead away from; empty is the plain choice.")
    model: Text = Field(
        "tiny",
        description="A name of the catalogue, a folder in diffusers format, or one file of weights, "
        "FILE+FOLDER with the folder that has the rest.",
    )
    seed: int = Field(
        0, ge=0, le=LAST_SEED, description="Same seed, same noise. A batch uses seed, seed + 1, ..."
    )
    count: int = Field(1, ge=1, le=16, description="How many pictures to make at once.")
    width: Side | None = Field(None, description="In pixels; the model's native size by default.")
    height: Side | None = Field(None, description="In pixels; the model's native size by default.")

    steps: Steps | None = Field(
        None, description="Steps of the solver from noise to picture; the model's own number by default."
    )
    cfg: Scale | None = Field(
        None,
        description="Guidance, v = v_uncond + cfg (v_cond - v_uncond); 1 or 0 is off, for half the work. "
        "The model's own by default.",
    )
    cfg_from: Time = Field(0.0, description="Guidance acts while t is at least this (t = 0 is data).")
    cfg_to: Time = Field(1.0, description="Guidance acts while t is at most this (t = 1 is noise).")
    solver: Solver = Field("euler", description="How dz = v dt is integrated.")
    schedule: Convention | None = Field(
        None, description="The convention that places the times from 1 to 0; the model's own by default."
    )
    shift: Shift | Literal["auto"] | None = Field(
        None,
        description="Moves time towards noise, t' = s t / (1 + (s - 1) t); auto is the model's own times "
        "sqrt(pixels / native pixels). The model's own by default.",
    )

    @model_validator(mode="after")
    def _interval_is_not_empty(self) -> "PictureSettings":
        if self.cfg_from > self.cfg_to:
            raise ValueError(
                f"cfg_from is {self.cfg_from:g} and cfg_to {self.cfg_to:g}; cfg_from must not be the larger"
            )
        return self

    @model_validator(mode="after")
    def _every_picture_has_a_seed(self) -> "PictureSettings":
        if self.seed + self.count - 1 > LAST_SEED:
            raise ValueError(
                f"seed is {self.seed} and count {self.count}; the last picture's seed, seed + count - 1, "
                f"must not be above {LAST_SEED}: give a smaller seed"
            )
        return self


class Request(
    LoraOptions, ImageToImage, Lumina2Options, LuminaNextOptions, FluxOptions, SD3Options, PictureSettings
):
    """A picture, or several from neighbouring seeds: everything that decides how it comes out.

    The options of all families stand in it flat; see `families.options_of`.
    """

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the network's arithmetic; auto is float32 on a CPU and bfloat16 on a GPU."
    )
    placement: Literal["auto", "resident", "by-model", "streamed"] = Field(
        "auto", description="Which weights stay on the device: all, the part at work, or a few blocks of it."
    )
    large_encoder: LargeEncoderName = Field(
        "auto",
        description="T5 or Gemma: as the network is, in bfloat16, in 8 bits (torchao) or 4 (bitsandbytes, "
        "CUDA), or run on the CPU, so that a GPU holds none of it.",
    )


class Resolved(Request):
    """A request of which nothing is left open: what a plan carries out, and what a receipt repeats."""

    width: Side
    height: Side
    steps: Steps
    cfg: Scale
    schedule: Convention
    shift: Shift
    max_sequence_length: Tokens
    precision: Literal["float32", "bfloat16"]
    init_sha256: Sha256 = Field("", description="The SHA-256 of the picture to start from, as it is run.")
    lora_sha256: str = Field(
        "",
        pattern="^([0-9a-f]{64}(,[0-9a-f]{64})*)?$",
        description="The SHA-256 of each LoRA's file, in their order.",
    )
    mask_sha256: Sha256 = Field("", description="The SHA-256 of the mask, as it is run.")


def identity(settings: BaseModel) -> str:
    """Return sixteen hex digits that name these settings: equal settings have equal ones, on any machine.

    They are over what differs from the defaults, so that a new setting leaves the names of old ones as they
    are.
    """
    text = json.dumps(non_default_values(settings), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def options_of(request: Request, spec: ModelSpec) -> FamilyOptions:
    """The options that a request has for a model. Raises Refusal where it sets one of another family."""
    kind = OPTIONS[spec.family]
    for name, default in foreign_options(spec).items():
        if (given := getattr(request, name)) != default:
            raise Refusal(
                f"{name} is {quoted(given)}; {spec.name} has no such setting: leave it out, or choose "
                "a model that has it"
            )
    return kind.model_validate({name: getattr(request, name) for name in kind.model_fields})


def foreign_options(spec: ModelSpec) -> dict[str, object]:
    """The options that only other families have, each with its default."""
    own = OPTIONS[spec.family].model_fields
    return {
        name: field.default
        for other in OPTIONS.values()
        for name, field in other.model_fields.items()
        if name not in own
    }


def text_inputs(request: Request, spec: ModelSpec, *, negative: bool = False) -> tuple[EncoderInput, ...]:
    """What each text encoder of a model is given for the prompt, or for the unconditional branch."""
    text = request.negative if negative else request.prompt
    return options_of(request, spec).inputs(text, spec, negative=negative)


def without_effect(values: Mapping[str, object], spec: ModelSpec) -> dict[str, str]:
    """The settings that change nothing beside these values and with this model, each with the reason."""
    reasons: dict[str, str] = {}
    if values.get("cfg") == 1:
        reasons |= dict.fromkeys(("negative", "cfg_from", "cfg_to"), "CFG is off at scale 1.")
    if values.get("schedule") == "linear":
        reasons["shift"] = "The linear schedule is never shifted."
    reasons |= idle_without_init(values) | idle_encoder(values, spec)
    reasons |= dict.fromkeys(foreign_options(spec), f"{spec.family_title} has no such setting.")
    return {**reasons, **OPTIONS[spec.family].without_effect(values, spec)}


def ignored(request: Request, resolved: Resolved, spec: ModelSpec) -> tuple[str, ...]:
    """A sentence for each setting that was given and changes nothing, for a plan's notes."""
    idle = without_effect(resolved.model_dump(), spec)
    given = request.model_fields_set & set(idle)
    return tuple(
        f"{name} changes nothing here: {idle[name].removesuffix('.')}"
        for name in Request.model_fields
        if name in given and getattr(request, name) != Request.model_fields[name].default
    )


def non_default_values(settings: BaseModel, only: set[str] | None = None) -> dict[str, Any]:
    """Return, as JSON, the settings that have no default or another value than it; of these names alone."""
    return settings.model_dump(mode="json", exclude_defaults=True, include=only)
