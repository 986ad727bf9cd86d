"""Time grids from noise (t = 1) to data (t = 0), and the resolution-dependent shift.

SD3 paper, section 5.3.2, eq. 23: t_m = alpha t_n / (1 + (alpha - 1) t_n), with alpha = sqrt(m / n) for
m and n pixels.  Every convention of `CONVENTIONS` is found in the wild under the same "shift 3, 28 steps",
and they give different pictures: a grid is only named together with its convention.

No torch here: settings and plans need grids before torch is loaded.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Convention = Literal["uniform", "single", "diffusers", "linear", "comfy"]
Grid = NDArray[np.float64]

TRAINING_LEVELS = 1000  # SD3 was released with a table of 1000 noise levels, t = k / 1000 for k = 1 ... 1000

# float, numpy array or torch tensor: whatever has + * /. Checking alpha alone keeps torch out of this file.
Times = TypeVar("Times")


def shift(t: Times, alpha: float) -> Times:
    """Times moved from one resolution to another, eq. 23; any shape, 0 and 1 stay where they are.

    The log-SNR 2 log((1 - t) / t) moves by -2 log(alpha).  What alpha multiplies is the odds t / (1 - t), so
    the shifts are a group: shift by alpha after shift by beta is shift by alpha * beta.

    Raises:
        ValueError: alpha is not a positive finite number.
    """
    _check_alpha(alpha)
    # Not the printed denominator, 1 + (alpha - 1) t, for which shift(1, alpha) can round to more than 1.
    return alpha * t / (alpha * t + (1 - t))  # type: ignore[operator]


def resolution_shift(pixels: float, native_pixels: float) -> float:
    """alpha = sqrt(m / n), eq. 23: the shift from `native_pixels` = n to `pixels` = m, counted as areas.

    Raises:
        ValueError: one of the two is not a positive finite number.
    """
    for name, value in (("pixels", pixels), ("native_pixels", native_pixels)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; it must be a positive count of pixels, such as 1024 * 1024")
    return math.sqrt(pixels / native_pixels)


def time_grid(steps: int, alpha: float = 1.0, convention: Convention = "uniform") -> Grid:
    """The steps + 1 times at which a solver stands, strictly decreasing from 1 to 0, in float64.

    Raises:
        ValueError: steps < 1, alpha <= 0, an unknown convention, or so many steps or so strong a shift
            that two times coincide.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a grid needs at least 1 step")
    _check_alpha(alpha)
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown grid convention {convention!r}; choose one of {', '.join(CONVENTIONS)}")
    grid = CONVENTIONS[convention](steps, alpha)
    if not np.all(np.diff(grid) < 0):
        raise ValueError(
            f"{steps} steps with a shift of {alpha} give times that coincide in the convention"
            f" {convention!r}; try fewer steps or a shift nearer to 1"
        )
    return grid


def _uniform(steps: int, alpha: float) -> Grid:
    """The papers', Flux's and I-Max's: equal steps, then the shift."""
    return shift(np.linspace(1, 0, steps + 1), alpha)


def _single(steps: int, alpha: float) -> Grid:
    """The training levels' range shifted once, then 0."""
    return _onto_zero(shift(np.linspace(1, 1 / TRAINING_LEVELS, steps), alpha))


def _diffusers(steps: int, alpha: float) -> Grid:
    """diffusers' FlowMatchEulerDiscreteScheduler(shift=alpha).set_timesteps(steps).

    The range that is cut into equal steps ends at the *shifted* lowest level, and is shifted again: the tail
    is shifted twice.
    """
    return _onto_zero(shift(np.linspace(1, shift(1 / TRAINING_LEVELS, alpha), steps), alpha))


def _linear(steps: int, alpha: float) -> Grid:
    """InvokeAI's for SD3: equal steps, whatever the shift."""
    return np.linspace(1, 0, steps + 1)


def _comfy(steps: int, alpha: float) -> Grid:
    """ComfyUI's 'simple': every 1000/steps-th entry of the shifted table from the top, then 0."""
    stride = TRAINING_LEVELS / steps
    # Truncating the product of floats, rather than an integer division, picks the entries that ComfyUI picks.
    levels = [TRAINING_LEVELS - int(step * stride) for step in range(steps)]
    return _onto_zero(shift(np.array(levels) / TRAINING_LEVELS, alpha))


def _onto_zero(times: Grid) -> Grid:
    return np.append(times, 0.0)


def _check_alpha(alpha: float) -> None:
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(
            f"the shift alpha is {alpha}; it must be a positive number, such as 1 for none or 3 for SD3"
        )


CONVENTIONS: Mapping[Convention, Callable[[int, float], Grid]] = {
    "uniform": _uniform,
    "single": _single,
    "diffusers": _diffusers,
    "linear": _linear,
    "comfy": _comfy,
}
