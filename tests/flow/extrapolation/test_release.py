"""The authors' release of I-Max as a plain reading: its grid, its strengths, its wavelet, its whole loop.

Read from `pipeline_flux_imax.py` of github.com/PRIS-CV/I-Max: N times linspace(1, 1/N) moved by a shift, a
last one of 0, and at each step i the projected velocity (g - z) / -t beside the model's, with
c = (1 + cos(pi i / N)) / 2. Everything here is numpy and PyWavelets.
"""

from functools import partial

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.extrapolation.lowpass import haar
from sd3demo.flow.extrapolation.projection import STRENGTHS, projected
from sd3demo.flow.grids import time_grid
from sd3demo.flow.solvers import SOLVERS, At

Array = NDArray[np.float64]

N, SHIFT = 12, 6.0
SHAPE = (1, 3, 8, 12)
RNG = np.random.default_rng(0)
NOISE, GUIDE, MEAN, OTHER = (RNG.standard_normal(SHAPE) for _ in range(4))
DATA = Mixture((0.3, 0.7), (Gaussian(torch.tensor(MEAN[0]), 0.5), Gaussian(torch.tensor(OTHER[0]), 0.3)))


def model(z: Array, t: float) -> Array:
    return DATA.velocity(torch.tensor(z), At(t, 0, 1)).numpy()


def low_of(z: Array) -> Array:
    """One level of the Haar transform, its details set to zero, transformed back: channel by channel."""
    out = np.empty_like(z)
    for batch in range(z.shape[0]):
        for channel in range(z.shape[1]):
            means, _ = pywt.dwt2(z[batch, channel], "haar")
            out[batch, channel] = pywt.idwt2((means, (None, None, None)), "haar")
    return out


def release(schedule: str) -> list[Array]:
    sigmas = np.linspace(1.0, 1 / N, N)
    sigmas = SHIFT * sigmas / (1 + (SHIFT - 1) * sigmas)
    times = np.append(sigmas, 0.0)
    z, states = NOISE, []
    for i in range(N):
        t = times[i]
        v = model(z, t)
        towards = -(GUIDE - z) / t
        c = 0.5 * (1 + np.cos(np.pi * i / N))
        if schedule == "release":
            v = v + c * (low_of(towards) - low_of(v))
        elif schedule == "cosine-shift":
            v = v + c * (towards - v) + (1 - c) * (low_of(towards) - low_of(v))
        elif schedule == "constant":
            v = v + low_of(towards) - low_of(v)
        z = z + (times[i + 1] - t) * v
        states.append(z)
    return states


def paper() -> list[Array]:
    """Equation 7 and its strength as printed, in the paper's own time: t = 0 is noise, v points to data."""
    own = 1 - np.append(SHIFT * np.linspace(1, 1 / N, N) / (1 + (SHIFT - 1) * np.linspace(1, 1 / N, N)), 0.0)
    x, states = NOISE, []
    for i in range(N):
        t, dt = own[i], own[i + 1] - own[i]
        v = -model(x, 1 - t)
        alpha = 1 + 0.5 * np.cos(np.pi * t)
        v = v + alpha * ((low_of(GUIDE) - low_of(x)) / (1 - t) - low_of(v))
        x = x + dt * v
        states.append(x)
    return states


def ours(schedule: str) -> list[Array]:
    field = projected(
        DATA.velocity,
        torch.tensor(GUIDE),
        low_pass=partial(haar, level=1),
        strength=STRENGTHS[schedule],
    )
    steps = SOLVERS["euler"](field, torch.tensor(NOISE), time_grid(N, SHIFT, "uniform"))
    return [step.x_next.numpy() for step in steps]


@pytest.mark.parametrize("schedule", ["release", "cosine-shift", "constant", "off"])
@pytest.mark.parity
def test_a_whole_guided_loop_is_the_releases(schedule: str) -> None:
    for found, expected in zip(ours(schedule), release(schedule), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parity
def test_a_whole_guided_loop_is_the_papers() -> None:
    for found, expected in zip(ours("paper"), paper(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_time_shift_is_the_papers_in_its_own_time() -> None:
    """t' = t / (s - s t + t), where t = 0 is noise."""
    for s in (1.0, 2.0, 6.0):
        own = np.linspace(0, 1, 9)
        np.testing.assert_allclose(1 - time_grid(8, s, "uniform"), own / (s - s * own + own), atol=1e-12)


@pytest.mark.parity
def test_the_pooled_operator_is_the_wavelets() -> None:
    np.testing.assert_allclose(haar(torch.tensor(NOISE), 1).numpy(), low_of(NOISE), atol=1e-12)
