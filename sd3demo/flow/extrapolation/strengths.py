"""How strongly a larger picture is pulled towards its guide at each step. Pure, and without torch.

A strength is a pair (full, low): the share of the whole gap to the guide that is closed, and of its low
frequencies. In I-Max's paper (section 2.2) it depends on the time, in its release on the step number.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TypeAlias

Pair: TypeAlias = tuple[float, float]
"""(full, low): the share of the whole gap to the guide that is closed, and of its low frequencies."""

Strength: TypeAlias = Callable[[float, int, int], Pair]
"""The strength at (t, index, count)."""

STRONGEST = 2.0  # above it a step overshoots the guide by more than the gap


def curve(text: str) -> Strength:
    """A strength (0, alpha(t)) from points such as `1:1.5, 0.5:1, 0:0`, joined by straight lines in t.

    Raises:
        ValueError: a point is no `t:alpha`, t lies outside [0, 1], alpha outside [0, 2], or a t comes twice.
    """
    points = sorted(_point(part) for part in text.split(","))
    if any(left[0] == right[0] for left, right in pairwise(points)):
        raise ValueError(f"{text!r} gives a time twice; each t may have one alpha")

    def strength(t: float, index: int, count: int) -> Pair:
        if t <= points[0][0]:
            return 0.0, points[0][1]
        for (t_low, low), (t_high, high) in pairwise(points):
            if t <= t_high:
                return 0.0, low + (high - low) * (t - t_low) / (t_high - t_low)
        return 0.0, points[-1][1]

    return strength


def strength_of(name: str) -> Strength:
    """A strength by its name, or by the points of a curve.

    Raises:
        ValueError: it is neither.
    """
    if name in STRENGTHS:
        return STRENGTHS[name]
    if ":" in name:
        return curve(name)
    raise ValueError(
        f"unknown strength {name!r}; choose one of {', '.join(STRENGTHS)}, or points such as 1:1.5,0:0.5"
    )


def _point(part: str) -> tuple[float, float]:
    try:
        t, alpha = (float(number) for number in part.split(":"))
    except ValueError as error:
        raise ValueError(f"{part.strip()!r} is no point t:alpha, such as 0.5:1") from error
    if not (0 <= t <= 1 and 0 <= alpha <= STRONGEST):
        raise ValueError(f"{part.strip()!r}: t must lie in [0, 1] and alpha in [0, {STRONGEST:g}]")
    return t, alpha


def _paper(t: float, index: int, count: int) -> Pair:
    """1.5 at noise, 0.5 at data, a function of time."""
    return 0.0, 1 - 0.5 * math.cos(math.pi * t)


def _release(t: float, index: int, count: int) -> Pair:
    """1 at noise, 0 at data, a function of the step number."""
    return 0.0, _falling(index, count)


def _constant(t: float, index: int, count: int) -> Pair:
    """The guide's low frequencies in every step."""
    return 0.0, 1.0


def _cosine_shift(t: float, index: int, count: int) -> Pair:
    """From the whole guide in the first step to its low frequencies in the last: the release's default."""
    c = _falling(index, count)
    return c, 1 - c


def _off(t: float, index: int, count: int) -> Pair:
    return 0.0, 0.0


def _falling(index: int, count: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * index / count))


STRENGTHS: Mapping[str, Strength] = {
    "paper": _paper,
    "release": _release,
    "constant": _constant,
    "cosine-shift": _cosine_shift,
    "off": _off,
}
