"""Flags out of settings: every field of a pydantic model is a flag with its help, its bounds and its choices.

Nothing is parsed or checked here: the typed text goes to the settings, which raise the Refusal.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sd3demo.cli.report import Report
from sd3demo.settings import bounds_of, choices_of, is_whole, parse

SHORT_FLAGS = {"image_strength": "strength"}
"""Settings that have a second flag, where no setting of the same command is called so."""


REPEATED = {"lora"}
"""Settings whose flag can be given again: their texts are joined with commas."""


@dataclass(frozen=True)
class Command:
    """`run` is called with one instance of each of the settings and a Report; it returns the exit code.

    The fields named in `arguments` are positional.
    """

    run: Callable[..., int]
    settings: tuple[type[BaseModel], ...] = ()
    arguments: tuple[str, ...] = ()


def as_click(name: str, help: str, command: Command) -> click.Command:
    """Return the click command, with `--json` beside its own flags."""

    def call(json: bool, **typed: object) -> int:
        report = Report(json)
        typed |= {
            field: ",".join(cast("tuple[str, ...]", typed[field])) or None
            for field in REPEATED & typed.keys()
        }
        given = {field: value for field, value in typed.items() if value is not None and value is not False}
        parsed = [
            parse(kind, {field: value for field, value in given.items() if field in kind.model_fields})
            for kind in command.settings
        ]
        return command.run(*parsed, report)

    parameters = [
        parameter for kind in command.settings for parameter in _parameters(kind, command.arguments)
    ]
    parameters.append(
        click.Option(["--json"], is_flag=True, help="Print one JSON object on stdout and nothing else there.")
    )
    return click.Command(
        name, callback=call, params=parameters, help="\n\n".join((help, *_arguments(command)))
    )


def _arguments(command: Command) -> Iterator[str]:
    """Yield a line of help for each positional argument, of which click shows only the name."""
    for kind in command.settings:
        for name, field in kind.model_fields.items():
            if name in command.arguments:
                yield f"{name.upper()}: {field.description}"


def _parameters(kind: type[BaseModel], arguments: tuple[str, ...]) -> Iterator[click.Parameter]:
    fields = kind.model_fields
    for name, field in fields.items():
        if name in arguments:
            yield click.Argument([name], required=field.is_required(), type=click.UNPROCESSED)
        elif field.annotation is bool:
            yield click.Option([_flag(name), name], is_flag=True, help=field.description)
        else:
            short = SHORT_FLAGS.get(name, "")
            flags = [_flag(each) for each in (short, name) if each and (each == name or each not in fields)]
            yield click.Option(
                [*flags, name],
                type=click.UNPROCESSED,
                multiple=name in REPEATED,
                metavar=_metavar(field),
                help=_help(field),
            )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _metavar(field: FieldInfo) -> str:
    bounds, choices = bounds_of(field), choices_of(field)
    number = ("INTEGER" if is_whole(field) else "NUMBER") if bounds else ""
    return "|".join(filter(None, (number, *choices))) or "TEXT"


def _help(field: FieldInfo) -> str:
    """Return the field's description, then its bounds and its default."""
    notes = []
    if bounds := bounds_of(field):
        notes.append(f"{bounds[0]:.12g} to {bounds[1]:.12g}")
    if field.default not in (None, "", PydanticUndefined):
        notes.append(f"default: {_typed(field.default)}")
    return f"{field.description or ''}  [{'; '.join(notes)}]" if notes else field.description or ""


def _typed(value: object) -> str:
    """Return a default as one would type it."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={part:g}" for name, part in value.items())
    return str(value)
