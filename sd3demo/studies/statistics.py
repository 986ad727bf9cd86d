"""Raw values to the numbers of a table: means with their standard errors, and cells grouped by their arm."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from sd3demo.studies.study import Measured, Scalar


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def error(values: Sequence[float]) -> float | None:
    """The standard error of a mean, s / sqrt(n) with s^2 over n - 1; None for a single value."""
    n = len(values)
    if n < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1) / n)


def rate_error(rate: float, n: int) -> float:
    """The standard error of a share of n, sqrt(p (1 - p) / n)."""
    return math.sqrt(rate * (1 - rate) / n)


def mean_of_rates(rates: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The plain mean of independent rates, as GenEval takes it, with its standard error."""
    return mean(rates), math.sqrt(math.fsum(e * e for e in errors)) / len(errors)


def ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float | None]:
    """mean(above) / mean(below) for pairs, with its standard error to first order (None for one pair)."""
    found = mean(above) / mean(below)
    spread = error([a - found * b for a, b in zip(above, below, strict=True)])
    return found, None if spread is None else spread / abs(mean(below))


def number(found: Measured, name: str) -> float:
    """One raw value of a cell as a number."""
    value = found.raw[name]
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}, which is not a number")
    return float(value)


def numbers(found: Iterable[Measured], name: str) -> list[float]:
    return [number(one, name) for one in found]


def grouped(
    found: Iterable[Measured], by: Callable[[Mapping[str, Scalar]], Scalar]
) -> dict[Scalar, list[Measured]]:
    """Cells by a value of their arms, in the order in which the values first come."""
    groups: dict[Scalar, list[Measured]] = {}
    for one in found:
        groups.setdefault(by(one.cell.arm), []).append(one)
    return groups


def in_arm(found: Iterable[Measured], **values: Scalar) -> list[Measured]:
    """The cells whose arm has these values."""
    return [one for one in found if all(one.cell.arm.get(name) == value for name, value in values.items())]
