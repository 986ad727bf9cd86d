"""What a person can ask for, with the bounds and the help beside each field.

The form, the flags, the JSON and a run's identity all come from here: a new field appears in all four. A
field that is None takes the model's own value, which the plan fills in.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from sd3demo.errors import Refusal
from sd3demo.flow.grids import Convention
from sd3demo.flow.solvers import SOLVERS

LONGEST_PROMPT = 2000  # characters; T5 reads 512 tokens at most, which is less
LONGEST_QUOTE = 80  # characters of what was given, in the sentence that refuses it


class OneOf:
    """A choice whose names live in a registry, so that a new entry there is offered here."""

    def __init__(self, *names: str) -> None:
        self.names = names


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


def quoted(value: object) -> str:
    """What was given, for a sentence: a text between quotes, on one line, cut where it is long."""
    return _cut(repr(value))


def _plain(value: object) -> str:
    """The same without quotes where it can be read as it is; a field without a number is empty."""
    text = "empty" if value is None else str(value)
    return _cut(text if text.isprintable() else repr(text))


def counted(number: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"


Text = Annotated[str, AfterValidator(_readable)]
Prompt = Annotated[Text, AfterValidator(_described)]
Solver = Annotated[str, OneOf(*SOLVERS), AfterValidator(_known_solver)]
Side = Annotated[int, Field(ge=8, le=8192)]
Steps = Annotated[int, Field(ge=1, le=100)]
Scale = Annotated[float, Field(ge=1, le=30)]
Shift = Annotated[float, Field(ge=0.1, le=100)]
Time = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1, le=512)]
S = TypeVar("S", bound=BaseModel)


class Settings(BaseModel):
    """The rules of every group of settings: frozen, finite, and no name that is not a field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Request(Settings):
    """A picture, or several from neighbouring seeds: everything that decides how it comes out."""

    prompt: Prompt = Field(description="What the picture should show.")
    negative: Text = Field("", description="What guidance should lead away from; empty is the plain choice.")
    model: Text = Field("tiny", description="A name of the catalogue, or a folder in diffusers format.")
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Draws the initial noise; picture k of a batch has seed + k."
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
    """Sixteen hex digits that name these settings: equal settings have equal ones, on any machine."""
    text = json.dumps(
        settings.model_dump(mode="json"), sort_keys=True, ensure_ascii=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse(kind: type[S], values: Mapping[str, object]) -> S:
    """Settings from flags, a form or JSON. Raises Refusal with a sentence on the first thing wrong."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise Refusal(sentence(error, kind)) from error


def sentence(error: ValidationError, kind: type[BaseModel]) -> str:
    """One sentence from pydantic's report: what was given, and what is allowed."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    given = first["input"]
    if first["type"] == "missing":
        return f"{name} is missing; give one"
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        return message if message.startswith("unknown") or not name else f"{name} {message}"
    if name not in kind.model_fields:
        return f"unknown setting {quoted(name)}; choose one of {', '.join(kind.model_fields)}"
    field = kind.model_fields[name]
    if isinstance(given, dict | list):
        return f"{name} is a {type(given).__name__}; give a single value"
    names, bounds = choices_of(field), bounds_of(field)
    if bounds is not None:
        must = "be a whole number in" if is_whole(field) and first["type"].startswith("int_") else "lie in"
        also = f" or be {' or '.join(names)}" if names else ""
        return f"{name} is {_plain(given)}; it must {must} [{bounds[0]:.12g}, {bounds[1]:.12g}]{also}"
    if names:
        return f"unknown {name} {quoted(given)}; choose one of {', '.join(names)}"
    return f"{name} is {quoted(given)}; {first['msg'][0].lower()}{first['msg'][1:]}"


def bounds_of(field: FieldInfo) -> tuple[float, float] | None:
    """The least and the greatest value of a field of numbers, None for a field that has no bounds."""
    parts = _parts(field)
    low = [float(part.ge) for part in parts if isinstance(part, Ge)]  # type: ignore[arg-type]
    high = [float(part.le) for part in parts if isinstance(part, Le)]  # type: ignore[arg-type]
    return (low[0], high[0]) if low and high else None


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The names that a field allows, () where it is free."""
    found: list[str] = []
    for part in _parts(field):
        if get_origin(part) is Literal:
            found += [str(name) for name in get_args(part)]
        elif isinstance(part, OneOf):
            found += part.names
    return tuple(dict.fromkeys(found))  # a field that was taken over from another group names them twice


def is_whole(field: FieldInfo) -> bool:
    """Whether a field's numbers are whole ones."""
    return int in _parts(field)


def _parts(field: FieldInfo) -> tuple[object, ...]:
    """A field's types and constraints, out of their unions and annotations."""

    def walk(part: object) -> Iterator[object]:
        origin = get_origin(part)
        if origin is Annotated or origin is Union or isinstance(part, UnionType):
            for inner in get_args(part):
                yield from walk(inner)
        elif isinstance(part, FieldInfo):
            for inner in part.metadata:
                yield from walk(inner)
        else:
            yield part

    return tuple(inner for part in (field.annotation, *field.metadata) for inner in walk(part))
