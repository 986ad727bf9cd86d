"""The sigmas of a sampler in every convention that is called by the same "shift, steps"."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sd3demo.flow.grids import Convention
from sd3demo.plots.chart import Axis, Chart, Curve

COLOURS: Mapping[Convention, str] = {
    "uniform": "green",
    "single": "blue",
    "diffusers": "orange",
    "linear": "grey",
    "comfy": "violet",
}

TAIL = 10
"""Number of last steps in the detail."""


def schedules(times: Mapping[Convention, Sequence[float]], in_use: Convention, alpha: float) -> Chart:
    """Plot the sigmas of a run, strong, beside those of the other conventions.

    `times` holds steps + 1 of them for each convention, those of the run under `in_use`.
    """
    steps = len(times[in_use]) - 1
    number = np.arange(steps + 1, dtype=np.float64)
    others = [Curve(name, number, np.array(t), COLOURS[name]) for name, t in times.items() if name != in_use]
    used = Curve(f"{in_use} (in use)", number, np.array(times[in_use]), COLOURS[in_use], "dots", strong=True)
    return Chart(
        "schedule",
        f"{steps} step{'s' if steps > 1 else ''} at shift {alpha:.3g}, five ways",
        "SD3 eq. 23, as found in the wild; σ = t",
        Axis("step  (0 noise, last: data)", (-0.2, steps + 0.2)),
        Axis("noise level σ", (0, 1.03)),
        (*others, used),
    )


def tails(times: Mapping[Convention, Sequence[float]], in_use: Convention, alpha: float) -> Chart:
    """Plot the last steps on a logarithmic axis, where they differ; 0 itself is left out."""
    whole = schedules(times, in_use, alpha)
    steps = len(times[in_use]) - 1
    return replace(
        whole,
        curves=tuple(replace(one, y=np.where(one.y > 0, one.y, np.nan)) for one in whole.curves),
        name="tail",
        title="The last steps come apart",
        source="the same times, logarithmic; then comes 0",
        x=replace(whole.x, shown=(max(steps - TAIL, 0) - 0.2, steps + 0.2)),
        y=Axis("noise level σ", (1e-3, 1.1), log=True),
    )
