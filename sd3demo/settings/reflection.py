"""What the fields of any settings say of themselves, and the sentence for a value that one refuses.

Form, flags, JSON and HTTP are built from these: bounds, choices and kinds are written once, beside the field.
"""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from sd3demo.errors import Refusal

LONGEST_QUOTE = 80  # characters of what was given, in the sentence that refuses it

S = TypeVar("S", bound=BaseModel)


class Settings(BaseModel):
    """The rules of every group of settings: frozen, finite, and no name that is not a field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OneOf:
    """A choice whose names live in a registry, so that a new entry there is offered here."""

    def __init__(self, *names: str) -> None:
        self.names = names


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
