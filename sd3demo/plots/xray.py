"""Charts of an X-ray of a larger run, each with a sentence that states its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sd3demo.engine.record.bands import Bands
from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

Rings = NDArray[np.bool_]

TIME = Axis("time t  (1 noise, 0 data)", (1.02, -0.02))
FREQUENCY = "frequency, share of the latent's Nyquist"


@dataclass(frozen=True, eq=False)
class Xray:
    """One run's frequency bands with the data of the charts: N + 1 sigmas, and `size` as (rows, columns)."""

    title: str
    bands: Bands
    times: Numbers
    scale: float
    size: tuple[int, int]

    @property
    def at(self) -> Numbers:
        """The start of each step, (N,)."""
        return self.times[:-1]


def norms(run: Xray, direct: Xray | None) -> tuple[Chart, str]:
    """Plot the root mean squares of velocity and correction, in the native frequencies and beyond."""

    def line(field: str, name: str, colour: str, *, low: bool) -> Curve:
        values = run.bands.norm(field, run.scale, low=low)
        where = "low" if low else "high"
        return Curve(f"{name}, {where}", run.at, values, colour, "line" if low else "dashed", strong=low)

    curves = (
        line("v", "velocity", "green", low=True),
        line("v", "velocity", "green", low=False),
        line("correction", "correction", "orange", low=True),
        line("correction", "correction", "orange", low=False),
    )
    chart = Chart(
        "xray-norms",
        "Velocity and correction",
        "I-Max eq. 7; low: the native picture's frequencies",
        TIME,
        Axis("root mean square"),
        curves,
    )
    low = run.bands.norm("correction", run.scale, low=True)
    if not low.any():
        return chart, f"{run.title} adds nothing to the model's velocity: there is no correction to see."
    share = low / np.maximum(run.bands.norm("v", run.scale, low=True), 1e-9)
    most, rest = int(share.argmax()), run.bands.norm("correction", run.scale, low=False)
    return chart, (
        f"In the native frequencies the correction is at most {share[most]:.2g} times as large as the "
        f"model's own velocity, at t = {run.at[most]:.2f}, and {share[0]:.2g} times at the start. "
        f"{_percent((rest**2).sum() / (rest**2 + low**2).sum())} of its energy lies beyond them, where "
        f"{_guide_beyond(run)}."
    )


def strength(run: Xray, direct: Xray | None) -> tuple[Chart, str]:
    """Plot the strength, and the share of the prediction that it replaces."""
    full, alpha = run.bands.strength.T
    replaced = run.bands.replaced(run.scale)
    curves = [
        Curve("α, low band", run.at, alpha, "orange", "dots", strong=True),
        Curve("energy replaced", run.at, replaced, "green", strong=True),
        Curve("gap closed", run.at, run.bands.closed(run.scale), "blue"),
    ]
    if full.any():
        curves.insert(1, Curve("share of the whole gap", run.at, full, "violet", "dots"))
    chart = Chart(
        "xray-strength",
        "Strength, and what it replaces",
        "I-Max eq. 7; of the low band's energy",
        TIME,
        Axis("share"),
        tuple(curves),
    )
    if not run.bands.strength.any():
        return chart, f"Nothing is replaced: {run.title} has no strength."
    most, half = int(replaced.argmax()), run.at >= 0.5
    parts = [
        f"{_percent(replaced[part].mean())} of the low band's energy in the {name} half of the way"
        for name, part in (("first", half), ("second", ~half))
        if part.any()
    ]
    goes = f"from {alpha[0]:.2f} to {alpha[-1]:.2f}"
    if full.any():
        goes = (
            f"from {full[0]:.2f} of the whole gap and {alpha[0]:.2f} of its low band to {full[-1]:.2f} and "
            f"{alpha[-1]:.2f}"
        )
    return chart, (
        f"The strength goes {goes}. What it moves is worth {' and '.join(parts)}, most at "
        f"t = {run.at[most]:.2f}."
    )


def spectra(run: Xray, direct: Xray | None) -> tuple[Chart, str]:
    """Plot the prediction's spectrum at three times, before and after the correction, and the guide's."""
    denoised, corrected = (run.bands.density(name, run.size) for name in ("denoised", "corrected"))
    x, moments = run.bands.frequencies, sorted({0, run.bands.steps // 2, run.bands.steps - 1})
    curves: list[Curve] = []
    for index, colour in zip(moments, ("violet", "blue", "green"), strict=False):
        name = f"t = {run.at[index]:.2f}"
        curves.append(Curve(name, x, denoised[index], colour, strong=True))
        curves.append(Curve(f"{name}, corrected", x, corrected[index], colour, "dashed"))
    target = run.bands.density("target", run.size)
    if np.isfinite(target[-1]).any():
        curves.append(Curve("drawn to", x, target[-1], "grey", "dotted", strong=True))
    chart = Chart(
        "xray-spectra",
        "Spectrum of the prediction",
        f"|DCT x̂₀|² by ring; native frequencies end at {1 / run.scale:.2f}",
        Axis(FREQUENCY, (0, 1)),
        Axis("power of a mode", log=True),
        tuple(curves),
    )
    beyond = run.bands.beyond("denoised", run.scale)
    detail = (
        f"beyond the native frequencies it holds {_percent(beyond[0])} of its energy at the start and "
        f"{_percent(beyond[-1])} at the end"
    )
    if not np.isfinite(target[-1]).any():
        return chart, f"Nothing guides this prediction; {detail}."
    missed = run.bands.norm("gap", run.scale, low=True) / run.bands.norm("target", run.scale, low=True)
    return chart, (
        f"Left to itself, the model's prediction misses what it is drawn to by {_percent(missed[0])} at the "
        f"start and by {_percent(missed[-1])} at the last step, in the native frequencies; {detail}."
    )


def ends(run: Xray, direct: Xray | None) -> tuple[Chart, str]:
    """Plot the final spectra: of this run, of the direct one, and of the upscaled native picture."""
    x, final = run.bands.frequencies, run.bands.density("corrected", run.size)[-1]
    guide = run.bands.density("target", run.size)[-1]
    curves = [Curve(run.title, x, final, "green", strong=True)]
    if direct is not None:
        curves.append(Curve("direct", x, _end(direct), "orange"))
    if np.isfinite(guide).any():
        curves.append(Curve("native, lifted", x, guide, "grey", "dotted", strong=True))
    chart = Chart(
        "xray-ends",
        "Where the runs end",
        f"last prediction; native frequencies end at {1 / run.scale:.2f}",
        Axis(FREQUENCY, (0, 1)),
        Axis("power of a mode", log=True),
        tuple(curves),
    )
    if not np.isfinite(guide).any():
        return chart, f"{run.title} has no native picture to be compared with."
    low = x < 1 / run.scale
    sentences = [f"{run.title} ends {_apart(final, guide, low)} the lifted native picture"]
    if direct is not None:
        sentences.append(f"the direct run {_apart(_end(direct), guide, low)}")
    beyond = [f"{_over(final, guide, ~low)} for {run.title.lower()}"]
    if direct is not None:
        beyond.append(f"{_over(_end(direct), guide, ~low)} for the direct run")
    return chart, (
        f"In the native frequencies {' and '.join(sentences)}; beyond them power is {' and '.join(beyond)}."
    )


def _guide_beyond(run: Xray) -> str:
    """How much of the enlarged guide, which was encoded anew, lies beyond the native frequencies."""
    share = run.bands.beyond("target", run.scale)[-1]
    if not np.isfinite(share):
        return "the native picture holds no detail"
    return f"the enlarged native picture holds {_percent(share)} of its own, and no detail"


def _end(run: Xray) -> Numbers:
    return run.bands.density("corrected", run.size)[-1]


def _apart(one: Numbers, other: Numbers, where: Rings) -> str:
    gap = 10 * np.log10(np.maximum(one[where], 1e-9) / np.maximum(other[where], 1e-9))
    return f"{float(np.sqrt(np.nanmean(gap**2))):.1f} dB from"


def _over(one: Numbers, other: Numbers, where: Rings) -> str:
    if not where.any():
        return "the same"
    gap = 10 * np.log10(np.nansum(one[where]) / max(float(np.nansum(other[where])), 1e-9))
    return f"{abs(gap):.1f} dB {'higher' if gap >= 0 else 'lower'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.1f}%"


XRAYS: Mapping[str, Callable[[Xray, Xray | None], tuple[Chart, str]]] = {
    "norms": norms,
    "strength": strength,
    "spectra": spectra,
    "ends": ends,
}
"""The charts of an X-ray by name; each compares with the direct run where there is one."""
