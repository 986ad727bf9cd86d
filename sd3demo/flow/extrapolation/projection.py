"""Projected flow: the composition of a small picture imposed on a larger one while it is sampled.

I-Max paper, section 2.2, eq. 7, in this project's time (t = 1 is noise).  With g the guide, the native
picture at the larger size, and P a low-pass, the prediction of the data becomes

    x0~ = x0 + full (g - x0) + low P(g - x0),        v~ = (z - x0~) / t

for a strength (full, low).  The paper has (0, alpha), and so v~ = v + (alpha / t) P(z - t v - g).

As printed, eq. 7 has the native prediction itself in place of P g: it takes that to be the projection of the
larger picture, P(X1) (section 2.2).  The enlarged guide need not lie in P's range: 42% of its energy without
the mean is outside of Haar-1's at 2x on the embedded model.  P(g) is the reading of I-Max's release, and the
one here; the two are equal where P g = g.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from sd3demo.flow.extrapolation.lowpass import LowPass, haar, radial
from sd3demo.flow.extrapolation.strengths import STRENGTHS, Pair, Strength
from sd3demo.flow.solvers import At, Velocity

__all__ = [
    "STRENGTHS",
    "Correction",
    "Pair",
    "Strength",
    "Watch",
    "haar",
    "ignore_correction",
    "project",
    "projected",
    "radial",
]


@dataclass(frozen=True, eq=False)
class Correction:
    """The correction of the model's velocity at one evaluation; all tensors are (B, C, H, W).

    `v` is the model's velocity after guidance, `corrected` the one that the solver uses; `target` is what the
    prediction of the data is pulled towards, by `strength` through `low_pass`. At strength (0, 0) `corrected`
    is `v` itself.
    """

    at: At
    x: Tensor
    v: Tensor
    corrected: Tensor
    target: Tensor
    strength: Pair
    low_pass: LowPass

    @property
    def denoised(self) -> Tensor:
        """The model's own prediction of the data, x0 = x - t v."""
        return self.x - self.at.t * self.v


Watch: TypeAlias = Callable[[Correction], None]
"""A callback for each evaluation, before the solver continues; its tensors must not be changed."""


def ignore_correction(correction: Correction) -> None:
    """Ignore the correction: the default callback."""


def project(denoised: Tensor, guide: Tensor, low_pass: LowPass, strength: Pair) -> Tensor:
    """Return x0~, (B, C, H, W); at strength (0, 0) it is `denoised` itself.

    At (0, 1) with an idempotent P the low frequencies are the guide's: P x0~ = P g.

    Raises:
        ValueError: the guide has another shape than the prediction.
    """
    if guide.shape != denoised.shape:
        raise ValueError(
            f"the guide has shape {tuple(guide.shape)} and the prediction {tuple(denoised.shape)};"
            " resize the guide to the size of the prediction, one for each sample"
        )
    full, low = strength
    gap = guide - denoised
    result = denoised
    if full:
        result = result + full * gap
    if low:
        result = result + low * low_pass(gap)
    return result


def projected(
    velocity: Velocity,
    guide: Tensor,
    *,
    low_pass: LowPass,
    strength: Strength,
    watch: Watch = ignore_correction,
) -> Velocity:
    """Wrap a velocity so that its prediction is pulled towards the guide; apply CFG before it, inside.

    At strength (0, 0) it is the velocity itself, to the last bit.
    """

    def wrapped(x: Tensor, at: At) -> Tensor:
        v = corrected = velocity(x, at)
        pair = strength(at.t, at.index, at.count)
        if pair != (0, 0):
            corrected = (x - project(x - at.t * v, guide, low_pass, pair)) / at.t
        watch(Correction(at, x, v, corrected, guide, pair, low_pass))
        return corrected

    return wrapped
