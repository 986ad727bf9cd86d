"""What differs between the settings of two pictures, in the words of the page."""

from dataclasses import dataclass
from typing import Any

from sd3demo.settings import Resolved
from sd3demo.ui.controls.labels import label

LONGEST = 60  # characters of a value
NOISE = frozenset({"seed", "width", "height", "model"})
"""The settings of which the initial noise depends."""


@dataclass(frozen=True)
class SettingDifference:
    """A setting and its value on either side, as a person reads them."""

    name: str
    title: str
    before: str
    after: str


def differing_settings(before: Resolved, after: Resolved) -> tuple[SettingDifference, ...]:
    """Return the settings whose values differ; one that only one side has is missing on the other."""
    fields = [
        *type(after).model_fields,
        *(n for n in type(before).model_fields if n not in type(after).model_fields),
    ]
    return tuple(
        SettingDifference(
            name,
            label(name, type(after if name in type(after).model_fields else before)).title,
            _in_words(before, name),
            _in_words(after, name),
        )
        for name in fields
        if _value(before, name) != _value(after, name)
    )


def _value(request: Resolved, name: str) -> Any:
    return getattr(request, name, None)


def _in_words(request: Resolved, name: str) -> str:
    """A value as the page names it, cut where it is long."""
    value = _value(request, name)
    if value is None:
        return "none"
    if isinstance(value, bool):
        text = "on" if value else "off"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, tuple):
        text = ", ".join(map(str, value)) or "none"
    else:
        text = label(name, type(request)).names.get(str(value), str(value)) or "empty"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
