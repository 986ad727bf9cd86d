"""Parameters of the endpoints, from the fields of the settings: name, type, default and description.

The parameters that clients know come first, in the order in which they know them; a field that is new in the
settings comes last, by itself.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from sd3demo.settings import FILES, Request, bounds_of, choices_of, is_whole
from sd3demo.ui.controls.labels import label

NAMES: Mapping[str, str] = {
    "negative": "negative_prompt",
    "cfg": "guidance_scale",
    "steps": "num_inference_steps",
}
"""What the endpoints call settings that have another name here; the names are those of SD3's Space."""
SERVER_FILES = frozenset({"upscaler", *FILES})
"""Settings that name a file of the server, which no client may choose."""

Answer: TypeAlias = Callable[[Mapping[str, JsonValue]], object]
"""What an endpoint does with the values of its parameters, by their names."""


@dataclass(frozen=True)
class ApiParameter:
    """A parameter; without a default it is required. `type` is its annotation."""

    name: str
    type: Any
    title: str
    description: str
    default: str | int | float | bool | None = None
    required: bool = False


def of_field(kind: type[BaseModel], setting: str, *, names: Mapping[str, str] = NAMES) -> ApiParameter:
    """The parameter of a setting; one that may be left open has the default None."""
    field = kind.model_fields[setting]
    default = None if field.is_required() else field.default
    type_ = _annotation(field, free=bool(label(setting).suggested))
    return ApiParameter(
        name=names.get(setting, setting),
        type=type_ | None if default is None and not field.is_required() else type_,
        title=label(setting).title,
        description=field.description or "",
        default=default,
        required=field.is_required(),
    )


def left_open(kind: type[BaseModel], setting: str) -> ApiParameter:
    """The parameter of a setting with the default None: what is left out is not asked for."""
    parameter = of_field(kind, setting)
    if parameter.default is None:
        return parameter
    return replace(parameter, type=parameter.type | None, default=None)


def of_settings(
    kind: type[BaseModel],
    first: Sequence[str | ApiParameter],
    *,
    without: frozenset[str] = frozenset(),
) -> tuple[ApiParameter, ...]:
    """The parameters of all settings: first `first` in this order, then the rest.

    `first` names settings, or holds parameters of the endpoint's own, which stand for the setting of their
    name where there is one. What only an extrapolation has is left open, so that none is asked for unawares.
    """

    def one_of(name: str) -> ApiParameter:
        return of_field(kind, name) if name in Request.model_fields else left_open(kind, name)

    known = [one_of(one) if isinstance(one, str) else one for one in first]
    taken = {one.name for one in known} | SERVER_FILES | without
    rest = [name for name in kind.model_fields if NAMES.get(name, name) not in taken]
    return (*known, *map(one_of, rest))


def settings_of(
    values: Mapping[str, JsonValue], kind: type[BaseModel], *, names: Mapping[str, str] = NAMES
) -> dict[str, JsonValue]:
    """The settings among an endpoint's values, under their own names, without those that are left open."""
    own = {names.get(name, name): name for name in kind.model_fields}
    return {own[name]: value for name, value in values.items() if name in own and value is not None}


def function_of(name: str, summary: str, parameters: Sequence[ApiParameter], answer: Answer) -> Callable:
    """A function with these parameters and the docstring that tools for agents read.

    Parameters that are missing at the end of a call have their defaults: a client that knows fewer of them
    sends fewer.
    """

    def endpoint(*values: JsonValue) -> object:
        missing = [parameter.default for parameter in parameters[len(values) :]]
        names = (parameter.name for parameter in parameters)
        return answer(dict(zip(names, [*values, *missing], strict=False)))

    endpoint.__name__ = name
    endpoint.__doc__ = f"{summary}\n\nArgs:\n" + "\n".join(
        f"    {one.name}: {one.description}" for one in parameters
    )
    endpoint.__annotations__ = {one.name: one.type for one in parameters}
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if one.required else one.default,
                annotation=one.type,
            )
            for one in parameters
        ]
    )
    return endpoint


def _annotation(field: FieldInfo, *, free: bool) -> Any:
    """The Python type of a field's values, as clients and tools are told of it; `free` allows other texts."""
    names, bounds = choices_of(field), bounds_of(field)
    if bounds:
        number: Any = int if is_whole(field) else float
        return number | str if names else number
    if names and not free:
        return Literal[names]
    return bool if field.annotation is bool else str
