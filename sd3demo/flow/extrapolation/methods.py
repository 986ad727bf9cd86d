"""Projected flow and the methods it is compared with, under one interface: pictures beyond the native size.

A method wraps the model's velocity at the larger size. All of them get the same noise, the same guide g
(the native picture, lifted to the size of the latent) and the same settings; formulas are in the time of this
project, where t = 1 is noise. No torch: a plan reads what a method needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sd3demo.flow.extrapolation.strengths import Pair, Strength
from sd3demo.flow.solvers import At, Velocity

if TYPE_CHECKING:
    from torch import Tensor

    from sd3demo.flow.extrapolation.lowpass import LowPass
    from sd3demo.flow.extrapolation.projection import Watch

Need: TypeAlias = Literal["guide", "trajectory", "native-network"]
"""The upscaled picture; the predictions x0(t) of the stage before; the network at its native size."""


@dataclass(frozen=True, eq=False)
class MethodInputs:
    """The inputs of a method in one stage. Only what the method declares in `needs` is set."""

    velocity: Velocity
    """The model's at the larger size, after guidance."""
    guide: Tensor  # (B, C, H, W)
    noise: Tensor  # (B, C, H, W), which the stage starts from
    grid: tuple[float, ...]
    low_pass: LowPass
    strength: Strength
    watch: Watch
    factor: int
    """How many times larger the latent is than the native one, rounded to a whole number."""
    native: Velocity
    """The model's at its native size without any tuning, after guidance."""
    predicted: Callable[[float], Tensor]
    """The prediction x0 of the stage before at t, upscaled to (B, C, H, W)."""


@dataclass(frozen=True)
class Method:
    """One way to a larger picture, and its source.

    `start` is the t from which a stage is integrated unless the settings say; `positions` replaces the
    setting of that name where it is not empty; in the first `aligned_steps` attention is averaged over
    bundles of positions; `flows` is false where no network runs at the larger size. A method in `one_call`
    goes from the noised guide to the picture in a single step, from a start of its own (`refine_start`), and
    has its guide enlarged by the kernel `lift`.
    """

    title: str
    source: str
    field: Callable[[MethodInputs], Velocity]
    needs: tuple[Need, ...] = ()
    start: float = 1.0
    positions: str = ""
    aligned_steps: int = 0
    one_call: bool = False
    lift: str = ""
    solvers: tuple[str, ...] = ()
    """The solvers that can integrate it; () is all."""
    flows: bool = True


def _unchanged(inputs: MethodInputs) -> Velocity:
    return inputs.velocity


def _projected(inputs: MethodInputs) -> Velocity:
    """x0~ = x0 - alpha P(x0 - g)."""
    from sd3demo.flow.extrapolation.projection import projected

    return projected(
        inputs.velocity,
        inputs.guide,
        low_pass=inputs.low_pass,
        strength=inputs.strength,
        watch=inputs.watch,
    )


def _skip_residual(inputs: MethodInputs) -> Velocity:
    """Before each step z <- c ((1 - t) g + t eps) + (1 - c) z, c = ((1 + cos(pi (1 - t))) / 2)^3.

    As a velocity it carries the jump of z within Euler's step, whose length it therefore has to know.
    """

    def field(x: Tensor, at: At) -> Tensor:
        c = ((1 + math.cos(math.pi * (1 - at.t))) / 2) ** 3
        noised = (1 - at.t) * inputs.guide + at.t * inputs.noise
        mixed = c * noised + (1 - c) * x
        v = inputs.velocity(mixed, at)
        corrected = v + (mixed - x) / (inputs.grid[at.index + 1] - at.t)
        _report(inputs, at, mixed, v, corrected, inputs.guide, (c, 0.0))
        return corrected

    return field


def _upsample_guidance(inputs: MethodInputs) -> Velocity:
    """x0 += w U(X - D x0), D the mean over m x m and U its repetition, X the native network's prediction.

    That network is evaluated at tau = t / (m (1 - t) + t) on y = D(z) / ((1 - t) + t / m): the mean divides
    the noise by m and keeps the picture, which is a smaller t.
    """
    m = inputs.factor

    def field(x: Tensor, at: At) -> Tensor:
        v = corrected = inputs.velocity(x, at)
        pair = inputs.strength(at.t, at.index, at.count)
        tau, shrink = native_time(at.t, m), (1 - at.t) + at.t / m
        y = _mean(x, m) / shrink
        predicted = y - tau * inputs.native(y, At(tau, at.index, at.count))
        target = _repeated(predicted, m)
        if pair != (0, 0):
            gap = target - _repeated(_mean(x - at.t * v, m), m)
            corrected = v - (sum(pair) / at.t) * gap
        _report(inputs, at, x, v, corrected, target, pair)
        return corrected

    return field


def _hiflow(inputs: MethodInputs) -> Velocity:
    """x0 += alpha P(R(t) - x0), R the native run's own prediction at t; then the change of v is aligned.

    v += beta ((v_before + v_r - v_r,before) - v), where v_r = eps - R(t) is the velocity of the reference, so
    that v_r - v_r,before = R(before) - R(t).
    """
    before: list[tuple[At, Tensor]] = []

    def field(x: Tensor, at: At) -> Tensor:
        from sd3demo.flow.extrapolation.projection import project

        v = inputs.velocity(x, at)
        reference, pair = inputs.predicted(at.t), inputs.strength(at.t, at.index, at.count)
        corrected = v
        if pair != (0, 0):
            corrected = (x - project(x - at.t * v, reference, inputs.low_pass, pair)) / at.t
            earlier = [(past, w) for past, w in before if past.index == at.index - 1]
            if earlier:
                past, w = earlier[0]
                expected = w + inputs.predicted(past.t) - reference
                corrected = corrected + HIFLOW_BETA * (expected - corrected)
        before[:] = [*(pair for pair in before if pair[0].index >= at.index - 1), (at, corrected)]
        _report(inputs, at, x, v, corrected, reference, pair)
        return corrected

    return field


HIFLOW_BETA = 0.5  # the acceleration's share in its authors' example


def native_time(t: float, factor: int) -> float:
    """tau: the t at which a picture `factor` times smaller has the signal to noise of a larger one at t."""
    return t / (factor * (1 - t) + t)


def _mean(x: Tensor, m: int) -> Tensor:
    """The mean over m x m, (B, C, H / m, W / m); the sides must divide."""
    return x.unflatten(-2, (-1, m)).unflatten(-1, (-1, m)).mean((-3, -1))


def _repeated(x: Tensor, m: int) -> Tensor:
    return x.repeat_interleave(m, -2).repeat_interleave(m, -1)


def _report(
    inputs: MethodInputs, at: At, x: Tensor, v: Tensor, corrected: Tensor, target: Tensor, pair: Pair
) -> None:
    from sd3demo.flow.extrapolation.projection import Correction

    inputs.watch(Correction(at, x, v, corrected, target, pair, inputs.low_pass))


METHODS: Mapping[str, Method] = {
    "projected": Method(
        "Projected flow", "Du et al., 2024: I-Max, section 2.2", _projected, needs=("guide",)
    ),
    "direct": Method("Direct", "the model at the larger size, without a guide", _unchanged),
    "upsample": Method("Upsampled", "the native picture, resampled", _unchanged, flows=False),
    "super-resolution": Method(
        "Super-resolution",
        "a network of the user's for single pictures, such as ESRGAN (Wang et al., 2018)",
        _unchanged,
        flows=False,
    ),
    "sdedit": Method(
        "SDEdit", "Meng et al., 2021: from the noised guide on", _unchanged, needs=("guide",), start=0.7
    ),
    "skip-residual": Method(
        "Skip residual",
        "Du et al., 2024: DemoFusion, section 3.3",
        _skip_residual,
        needs=("guide",),
        solvers=("euler",),
    ),
    "time-aware": Method(
        "Time-aware positions",
        "Zhuo et al., 2024: Lumina-Next, section 3.2",
        _unchanged,
        positions="time-aware",
    ),
    "spa": Method(
        "Position alignment (SPA)",
        "Xue et al., 2026: HRDiT, without its pruned heads; on SD3's table a port of this project's own",
        _unchanged,
        aligned_steps=3,
    ),
    "upsample-guidance": Method(
        "Upsample guidance", "Hwang et al., 2024", _upsample_guidance, needs=("native-network",)
    ),
    "sr-refine": Method(
        "Super-resolution, refined",
        "Zheng et al., 2026: MrFlow; where no super-resolution network is given, Lanczos enlarges",
        _unchanged,
        needs=("guide",),
        start=0.12,
        one_call=True,
        lift="lanczos",
    ),
    "hiflow": Method(
        "HiFlow",
        "Bu et al., 2025: flow-aligned guidance",
        _hiflow,
        needs=("guide", "trajectory"),
        start=0.7,
    ),
}
