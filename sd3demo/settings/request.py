"""What a person can ask for, with the bounds and the help beside each field.

The form, the flags, the JSON and a run's identity all come from here: a new field appears in all four. A
field that is None takes the model's own value, which the plan fills in.
"""

import hashlib
import json
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from sd3demo.flow.grids import Convention
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings.reflection import OneOf, Settings, quoted

LAST_SEED = 2**32 - 1
LONGEST_PROMPT = 2000  # characters; T5 reads 512 tokens at most, which is less


def _readable(text: str) -> str:
    """A text that can be read and stored: no control characters but tabs and line ends, not too long."""
    if len(text) > LONGEST_PROMPT:
        raise ValueError(f"has {len(text):,} characters; at most {LONGEST_PROMPT:,} can be given")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise ValueError(f"holds the control character U+{ord(character):04X}; give plain text")
    return text


def _described(text: str) -> str:
    if not text.strip():
        raise ValueError(f"is empty; describe a picture in up to {LONGEST_PROMPT:,} characters")
    return text


def _known_solver(name: str) -> str:
    if name not in SOLVERS:
        raise ValueError(f"unknown solver {quoted(name)}; choose one of {', '.join(SOLVERS)}")
    return name


Text = Annotated[str, AfterValidator(_readable)]
Prompt = Annotated[Text, AfterValidator(_described)]
Solver = Annotated[str, OneOf(*SOLVERS), AfterValidator(_known_solver)]
Side = Annotated[int, Field(ge=8, le=8192)]
Steps = Annotated[int, Field(ge=1, le=100)]
Scale = Annotated[float, Field(ge=1, le=30)]
Shift = Annotated[float, Field(ge=0.1, le=100)]
Time = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1, le=512)]


class Request(Settings):
    """A picture, or several from neighbouring seeds: everything that decides how it comes out."""

    prompt: Prompt = Field(description="What the picture should show.")
    negative: Text = Field("", description="What guidance should lead away from; empty is the plain choice.")
    model: Text = Field("tiny", description="A name of the catalogue, or a folder in diffusers format.")
    seed: int = Field(
        0, ge=0, le=LAST_SEED, description="Draws the initial noise; picture k of a batch has seed + k."
    )
    count: int = Field(1, ge=1, le=16, description="How many pictures to make at once.")
    width: Side | None = Field(None, description="In pixels; the model's native size by default.")
    height: Side | None = Field(None, description="In pixels; the model's native size by default.")

    steps: Steps | None = Field(
        None, description="Steps of the solver from noise to picture; the model's own number by default."
    )
    cfg: Scale | None = Field(
        None,
        description="Guidance, v = v_uncond + cfg (v_cond - v_uncond); 1 is off, for half the work. "
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

    t5: Literal["on", "zeros", "omit", "empty"] = Field(
        "on", description="T5's tokens as they are, zeros in their place, none, or those of an empty text."
    )
    clip_l: Literal["on", "zeros"] = Field("on", description="CLIP-L's tokens and pooled vector, or zeros.")
    clip_g: Literal["on", "zeros"] = Field("on", description="CLIP-G's tokens and pooled vector, or zeros.")
    prompt_2: Text = Field(
        "", description="A text of its own for CLIP-G; the prompt when empty. CLIP-L always reads the prompt."
    )
    prompt_3: Text = Field("", description="A text of its own for T5; the prompt when empty.")
    max_sequence_length: Tokens | None = Field(
        None,
        description="T5 tokens; padding is attended to, so their number changes the picture. "
        "The model's own by default.",
    )

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the network's arithmetic; auto is float32 on a CPU and bfloat16 on a GPU."
    )
    placement: Literal["auto", "resident", "by-model", "streamed"] = Field(
        "auto", description="Which weights stay on the device: all, the part at work, or a few blocks of it."
    )

    @model_validator(mode="after")
    def _interval_is_not_empty(self) -> "Request":
        if self.cfg_from > self.cfg_to:
            raise ValueError(
                f"cfg_from is {self.cfg_from:g} and cfg_to {self.cfg_to:g}; cfg_from must not be the larger"
            )
        return self

    @model_validator(mode="after")
    def _every_picture_has_a_seed(self) -> "Request":
        if self.seed + self.count - 1 > LAST_SEED:
            raise ValueError(
                f"seed is {self.seed} and count {self.count}; the last picture's seed, seed + count - 1, "
                f"must not be above {LAST_SEED}: give a smaller seed"
            )
        return self


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


def identity(settings: BaseModel) -> str:
    """Return sixteen hex digits that name these settings: equal settings have equal ones, on any machine.

    They are over what differs from the defaults, so that a new setting leaves the names of old ones as they
    are.
    """
    text = json.dumps(non_default_values(settings), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def non_default_values(settings: BaseModel, only: set[str] | None = None) -> dict[str, Any]:
    """Return, as JSON, the settings that have no default or another value than it; of these names alone."""
    return settings.model_dump(mode="json", exclude_defaults=True, include=only)
