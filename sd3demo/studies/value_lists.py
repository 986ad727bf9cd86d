"""Settings that hold several values, written as a text with commas between: `5, 10, 28`."""

import math

from pydantic import AfterValidator

from sd3demo.settings import Request, bounds_of, choices_of, is_whole

MOST = 12  # values of one setting


def several(name: str) -> AfterValidator:
    """What a text of values of one setting of a request must be: each within that setting's bounds."""
    field = Request.model_fields[name]
    bounds = bounds_of(field)
    return between(*bounds, whole=is_whole(field)) if bounds else among(*choices_of(field))


def between(low: float, high: float, *, whole: bool = False) -> AfterValidator:
    """What a text of numbers must be: each within these bounds."""

    def check(text: str) -> str:
        for word in words_of(some(text)):
            number = _number(word)
            if number is None or not low <= number <= high or (whole and number != int(number)):
                kind = "whole numbers" if whole else "numbers"
                raise ValueError(f"holds {word!r}; give {kind} in [{low:g}, {high:g}] with commas between")
        return text

    return AfterValidator(check)


def among(*names: str) -> AfterValidator:
    """What a text of names must be: each one of these."""

    def check(text: str) -> str:
        for word in words_of(some(text)):
            if word not in names:
                raise ValueError(f"holds {word!r}; choose one or several of {', '.join(names)}")
        return text

    return AfterValidator(check)


def words_of(text: str) -> tuple[str, ...]:
    """The values of such a text as they stand, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",")))


def numbers_of(text: str) -> tuple[float, ...]:
    """The values as numbers, whole ones as int."""
    found = (float(word) for word in words_of(text))
    return tuple(int(number) if number == int(number) else number for number in found)


def some(text: str) -> str:
    """The text, if it holds values, and not too many. Raises ValueError with what is wrong."""
    if not all(words_of(text)):
        raise ValueError(f"is {text!r}; give values with commas between, such as 5, 10")
    if len(words_of(text)) > MOST:
        raise ValueError(f"holds {len(words_of(text))} values; give at most {MOST}")
    return text


def _number(word: str) -> float | None:
    """The number that a word says; None where it says none."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
