"""Settings that hold several values, written as a text with commas between: `5, 10, 28`."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator

from sd3demo.settings import Request, bounds_of, choices_of, is_whole

MOST = 12  # values of one setting


def several(name: str) -> Any:  # a type, which mypy cannot follow
    """The type of a text with values of one setting of a request, under that setting's own bounds."""
    field = Request.model_fields[name]
    bounds, whole, names = bounds_of(field), is_whole(field), choices_of(field)

    def check(text: str) -> str:
        for value in words_of(text):
            if value in names:
                continue
            if bounds is None:
                raise ValueError(f"unknown {name} {value!r}; choose one or several of {', '.join(names)}")
            number = _number(value)
            if number is None or not bounds[0] <= number <= bounds[1] or (whole and number != int(number)):
                kind = "whole numbers" if whole else "numbers"
                ends = f"[{bounds[0]:.12g}, {bounds[1]:.12g}]"
                raise ValueError(f"holds {value!r}; give {kind} in {ends} with commas between")
        return text

    return Annotated[str, AfterValidator(_some), AfterValidator(check)]


def words_of(text: str) -> tuple[str, ...]:
    """The values of such a text as they stand, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",")))


def numbers_of(text: str) -> tuple[float, ...]:
    """The values as numbers, whole ones as int."""
    found = (float(word) for word in words_of(text))
    return tuple(int(number) if number == int(number) else number for number in found)


def _some(text: str) -> str:
    if not all(words_of(text)):
        raise ValueError(f"is {text!r}; give values with commas between, such as 5, 10")
    if len(words_of(text)) > MOST:
        raise ValueError(f"holds {len(words_of(text))} values; give at most {MOST}")
    return text


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


Several = Annotated[str, AfterValidator(_some)]
"""Any values with commas between."""
