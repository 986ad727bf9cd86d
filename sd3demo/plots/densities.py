"""Densities of the training time, SD3 paper, section 3.1 and eq. 23 to 25: in t, shifted, in log-SNR.

They are given by name, so that a plot can hold several; t = 0 is data, t = 1 is noise.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sd3demo.flow.densities import Density, Shifted
from sd3demo.flow.paths import PATHS
from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

POINTS = 161  # of a curve
SAMPLES, BINS = 4000, 40  # of a histogram
FARTHEST = 12.0  # of the log-SNR: beyond it nothing is trained

TIME = Axis("time t  (0 data, 1 noise)", (0, 1))
LOG_SNR = Axis("log-SNR λ  (left noise, right data)", (-FARTHEST, FARTHEST))
LIKELY = "probability density"

Colours = Mapping[str, str]


def pdfs(densities: Mapping[str, Density], colours: Colours) -> Chart:
    """Plot each density over a histogram of its samples."""
    t = _times()
    histograms = [_histogram(name, density, colours[name]) for name, density in densities.items()]
    curves = [
        Curve(name, _numbers(t), _numbers(density.pdf(t)), colours[name])
        for name, density in densities.items()
    ]
    return Chart(
        "pdf",
        "How often each time is trained",
        f"π(t), SD3 eq. 19–22, over {SAMPLES} samples",
        TIME,
        Axis(LIKELY, (0, _ceiling(curves))),
        (*histograms, *curves),
    )


def cdfs(densities: Mapping[str, Density], colours: Colours) -> Chart:
    """Plot the share of training below each time."""
    t = _times()
    return Chart(
        "cdf",
        "Share of training below t",
        "distribution functions, SD3 eq. 19–22",
        TIME,
        Axis("share of training", (0, 1)),
        tuple(
            Curve(name, _numbers(t), _numbers(density.cdf(t)), colours[name])
            for name, density in densities.items()
        ),
    )


def shifted_pdfs(densities: Mapping[str, Density], alpha: float, colours: Colours) -> Chart:
    """Plot each density before (dotted) and after the resolution-dependent shift."""
    t = _times()
    curves = tuple(
        curve
        for name, density in densities.items()
        for curve in (
            _before(name, t, _numbers(density.pdf(t)), colours[name]),
            Curve(name, _numbers(t), _numbers(Shifted(density, alpha).pdf(t)), colours[name]),
        )
    )
    return Chart(
        "shifted",
        f"After the shift by α = {alpha:.3g}",
        "t′ = αt / (1 + (α − 1)t), SD3 eq. 23; dotted: before",
        TIME,
        Axis(LIKELY, (0, _ceiling(curves))),
        curves,
    )


def log_snr_pdfs(densities: Mapping[str, Density], alpha: float, colours: Colours) -> Chart:
    """Plot the same in log-SNR, where the shift is a translation."""
    log_snr = torch.linspace(-FARTHEST, FARTHEST, POINTS, dtype=torch.float64)
    curves = tuple(
        curve
        for name, density in densities.items()
        for curve in (
            _before(name, log_snr, in_log_snr(density, log_snr), colours[name]),
            Curve(name, _numbers(log_snr), in_log_snr(Shifted(density, alpha), log_snr), colours[name]),
        )
    )
    return Chart(
        "log-snr",
        f"The same in log-SNR, moved by {signed(-2 * math.log(alpha))}",
        "λ′ = λ − 2 log α, SD3 eq. 24, 25; dotted: before",
        LOG_SNR,
        Axis(LIKELY, (0, _ceiling(curves))),
        curves,
    )


def in_log_snr(density: Density, log_snr: Tensor) -> Numbers:
    """Return the density of lambda = 2 log((1 - t) / t), that is pi(t) |dt / d lambda|; (n,) to (n,)."""
    t = torch.sigmoid(-log_snr / 2)
    return _numbers(density.pdf(t) / -PATHS["rectified"].log_snr_slope(t))


def signed(number: float) -> str:
    """Format a number with its sign, with a typographic minus."""
    return f"{number:+.3g}".replace("-", "−")


def masses(densities: Mapping[str, Density], grid: Sequence[float], colours: Colours, *, note: str) -> Chart:
    """Plot the share of training inside each step of a sampler; `grid` holds its times, 1 to 0."""
    number = np.arange(1, len(grid), dtype=np.float64)
    t = torch.tensor(grid, dtype=torch.float64)
    curves = [
        Curve(name, number, 100 * mass(density, t), colours[name], "bars")
        for name, density in densities.items()
    ]
    even = Curve("evenly", number, np.full_like(number, 100 / len(number)), "grey", "dotted")
    return Chart(
        "steps",
        "Where do my steps go",
        note,
        Axis("step  (first: noise, last: data)", (0.4, len(number) + 0.6)),
        Axis("training, %"),
        (*curves, even),
    )


def mass(density: Density, grid: Tensor) -> Numbers:
    """Return the probability between neighbouring times of a falling grid, (n + 1,) to (n,)."""
    return _numbers(-torch.diff(density.cdf(grid)))


def _histogram(name: str, density: Density, colour: str) -> Curve:
    samples = density.sample((SAMPLES,), torch.Generator().manual_seed(0))
    counts = torch.histc(samples, BINS, 0, 1).double() * BINS / SAMPLES
    middles = (np.arange(BINS) + 0.5) / BINS
    return Curve(f"{name}, sampled", middles, _numbers(counts), colour, "area", listed=False)


def _before(name: str, x: Tensor, y: Numbers, colour: str) -> Curve:
    return Curve(f"{name}, before", _numbers(x), y, colour, "dotted", listed=False)


def _times() -> Tensor:
    """0 to 1; the middle, where the mode density at its largest s is infinite, lies between two of them."""
    return torch.linspace(0, 1, POINTS - 1, dtype=torch.float64)


def _numbers(values: Tensor) -> Numbers:
    return values.double().numpy()


def _ceiling(curves: Sequence[Curve]) -> float:
    """Return the top of an axis: the highest value that is neither infinite nor next to an infinite one."""
    highest = [float(np.quantile(curve.y[np.isfinite(curve.y)], 0.98)) for curve in curves]
    return 1.12 * max([*highest, 1e-3])
