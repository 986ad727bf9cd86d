"""Charts of the extrapolation studies: a measure by arm and scale, or against steps or scale."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from sd3demo.plots.chart import Axis, Chart, Curve
from sd3demo.plots.tables import axis, curve, distinct, numbers, only, places, shade
from sd3demo.studies.study import Table

RENDERS, AUTOENCODER = "renders", "autoencoder"
CUMULATIVE = "… and "
"""How an arm begins that takes away one more part than the one before it."""
SOURCES: Mapping[str, str] = {
    "imax-ablation": "I-Max figures 4 and 5",
    "imax-methods": "I-Max figures 7 and 8",
    "imax-scale": "I-Max figure 6",
    "imax-steps": "I-Max figure 10",
}
MEASURES: Mapping[str, tuple[str, str, Axis]] = {
    "paired patches": (
        "Distance of patches to the same scene",
        "lower is truer",
        Axis("W₁ of patches, of 255"),
    ),
    "paired wins": (
        "Prompts won, judged by the same scene",
        "dotted: even",
        Axis("share", (0, 1.02)),
    ),
    "patches": ("Distance of patches to other scenes", "lower is truer", Axis("W₁ of patches, of 255")),
    "spectrum": ("Spectrum, distance to real renders", "lower is truer", Axis("root mean square, dB")),
    "excess": (
        "Power beyond the native frequencies",
        "below 0 is soft, above 0 false",
        Axis("excess, dB"),
    ),
    "drift": (
        "Structure: drift from the native picture",
        "lower is closer",
        Axis("root mean square, of 255"),
    ),
    "obeyed": ("Pictures that are what was asked for", "by the judge", Axis("share", (0, 1.02))),
    "wins": (
        "Prompts won, judged by other scenes",
        "dotted: even",
        Axis("share", (0, 1.02)),
    ),
    "operations": ("Cost of the larger stage", "counted from shapes", Axis("GFLOP", log=True)),
}
"""Title, how to read it, and its axis."""
BOUNDED = ("paired patches", "patches", "spectrum")
"""Measures that the model's autoencoder bounds from below."""


def measured(table: Table, measure: str) -> Chart:
    """Plot a measure of every row: bars by arm, or curves against the varied setting."""
    title, reading, up = MEASURES[measure]
    source = f"{SOURCES[table.study]}; {reading}"
    if table.study == "imax-ablation" or table.study == "imax-methods":
        across, curves = _by_arm(table, measure)
    elif table.study == "imax-scale":
        across, curves = _along(table, measure, "scale", "arm", Axis("scale"))
    else:
        across, curves = _along(table, measure, "steps", "scale", Axis("steps of the larger stage", log=True))
    if measure.endswith("wins"):
        ends = np.array(across.shown or [curves[0].x.min(), curves[0].x.max()])
        curves = (*curves, Curve("even", ends, np.full(2, 0.5), "grey", "dotted"))
    return Chart(f"{table.study}-{named(measure)}", title, source, across, up, curves)


def named(measure: str) -> str:
    """A measure's column as a part of a chart's name."""
    return measure.replace(" ", "-")


def _by_arm(table: Table, measure: str) -> tuple[Axis, tuple[Curve, ...]]:
    """Bars of the arms that a method made, parts taken away one at a time; the table has all others too.

    What no method can pass, a true render through the autoencoder, is a line.
    """
    shown = zip(table.rows, table.column("arm"), strict=True)
    bars = replace(table, rows=tuple(row for row, arm in shown if _is_bar(str(arm))))
    arms = axis(bars, "arm")
    curves: list[Curve] = []
    for k, scale in enumerate(distinct(table, "scale")):
        part = only(bars, scale=scale)
        curves.append(curve(f"{scale}×", part, places(part, "arm", arms.names), measure, shade(k), "bars"))
        bound = numbers(only(table, scale=scale, arm=AUTOENCODER).column(measure))
        if arms.shown and measure in BOUNDED and np.isfinite(bound).any():
            ends = np.array(arms.shown)
            curves.append(Curve(f"autoencoder, {scale}×", ends, np.full(2, bound[0]), shade(k), "dotted"))
    return arms, tuple(curves)


def _is_bar(arm: str) -> bool:
    return arm not in (RENDERS, AUTOENCODER) and not arm.startswith(CUMULATIVE)


def _along(table: Table, measure: str, along: str, by: str, across: Axis) -> tuple[Axis, tuple[Curve, ...]]:
    """Return a curve for each value of `by` that has a known value."""
    curves = []
    for k, value in enumerate(distinct(table, by)):
        part = only(table, **{by: value})
        if np.isfinite(numbers(part.column(measure))).any():
            name = f"{value}×" if by == "scale" else str(value)
            colour = "grey" if value == RENDERS else shade(k)
            curves.append(curve(name, part, places(part, along), measure, colour, strong=True))
    return across, tuple(curves)


CHARTS: Mapping[str, Callable[[Table], Chart]] = {
    f"imax-{named(measure)}": partial(measured, measure=measure) for measure in MEASURES
}
"""Chart by name, as the studies of extrapolation name them."""
