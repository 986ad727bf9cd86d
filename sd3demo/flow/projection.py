"""Projected flow: the composition of a small picture imposed on a larger one while it is being made.

I-Max paper, section 2.2, eq. 7, in this project's time (t = 1 is noise).  With g the guide, the native
picture at the larger size, and P a low-pass, the prediction of the data becomes

    x0~ = x0 + full (g - x0) + low P(g - x0),        v~ = (z - x0~) / t

for a strength (full, low).  The paper has (0, alpha), and so v~ = v + (alpha / t) P(z - t v - g).
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor

from sd3demo.flow.lowpass import LowPass, haar, radial
from sd3demo.flow.solvers import At, Velocity

__all__ = ["STRENGTHS", "Pair", "Strength", "haar", "project", "projected", "radial"]

Pair: TypeAlias = tuple[float, float]
"""(full, low): the share of the whole gap to the guide that is closed, and of its low frequencies."""

Strength: TypeAlias = Callable[[float, int, int], Pair]
"""The strength at (t, index, count)."""


def project(denoised: Tensor, guide: Tensor, low_pass: LowPass, strength: Pair) -> Tensor:
    """x0~, (B, C, H, W); at strength (0, 0) it is `denoised` itself, untouched.

    At (0, 1) with an idempotent P the low frequencies are the guide's: P x0~ = P g.

    Raises:
        ValueError: the guide has another shape than the prediction.
    """
    if guide.shape != denoised.shape:
        raise ValueError(
            f"the guide has shape {tuple(guide.shape)} and the prediction {tuple(denoised.shape)};"
            " enlarge the guide to the size that is being made, one for each sample"
        )
    full, low = strength
    gap = guide - denoised
    result = denoised
    if full:
        result = result + full * gap
    if low:
        result = result + low * low_pass(gap)
    return result


def projected(velocity: Velocity, guide: Tensor, *, low_pass: LowPass, strength: Strength) -> Velocity:
    """A velocity drawn to the guide; classifier-free guidance belongs inside, before the projection.

    Where the strength is (0, 0) it is the velocity itself, to the last bit.
    """

    def drawn(x: Tensor, at: At) -> Tensor:
        v = velocity(x, at)
        pair = strength(at.t, at.index, at.count)
        if pair == (0, 0):
            return v
        return (x - project(x - at.t * v, guide, low_pass, pair)) / at.t

    return drawn


def _paper(t: float, index: int, count: int) -> Pair:
    """1.5 at noise, 0.5 at data, by the time."""
    return 0.0, 1 - 0.5 * math.cos(math.pi * t)


def _release(t: float, index: int, count: int) -> Pair:
    """1 at noise, 0 at data, by the number of the step."""
    return 0.0, _falling(index, count)


def _constant(t: float, index: int, count: int) -> Pair:
    """The guide's low frequencies, throughout."""
    return 0.0, 1.0


def _cosine_shift(t: float, index: int, count: int) -> Pair:
    """From the whole guide at first to its low frequencies at last: the default of the authors' code."""
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
