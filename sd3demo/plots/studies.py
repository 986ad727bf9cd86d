"""Charts of the studies' tables. Each takes a table and nothing else; a study names its charts."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from sd3demo.plots import imax, race, scores
from sd3demo.plots.chart import Axis, Chart, Curve
from sd3demo.plots.tables import axis, curve, distinct, numbers, only, places, shade, title_of
from sd3demo.studies.study import Table

EXTENDED = "positions: extend; I-Max figure 9"
TIME = Axis("time t  (0 data, 1 noise)", (0, 1.05))


def path_length(table: Table) -> Chart:
    """Plot length and chord against the varied setting, with what bounds an unguided mean from above."""
    setting = table.columns[0].name
    along = axis(table, setting)
    x = places(table, setting, along.names)
    ends = np.array([x.min(), x.max()])
    bound = np.full(2, numbers(table.column("bound"))[0])
    return Chart(
        "path-length",
        f"Path length against {title_of(setting)}",
        "Σ‖v dt‖, SD3 table 6; bars: ± standard error",
        along,
        Axis("length in latent space"),
        (
            curve("path", table, x, "length", "green", strong=True),
            curve("chord", table, x, "chord", "blue"),
            Curve("√(2D), bound at CFG 1", ends, bound, "grey", "dotted"),
        ),
    )


def straightness(table: Table) -> Chart:
    """Plot the straightness of the paths."""
    setting = table.columns[0].name
    along = axis(table, setting)
    return Chart(
        "straightness",
        f"Straightness against {title_of(setting)}",
        "chord / path; 1 is straight; not in the paper",
        along,
        Axis("chord / path"),
        (
            curve(
                "chord / path",
                table,
                places(table, setting, along.names),
                "straightness",
                "green",
                strong=True,
            ),
        ),
    )


def velocity_loss(table: Table) -> Chart:
    """Plot the loss at the eight levels, a curve for each size."""
    return _by_t(table, "velocity-loss", "Velocity loss by t", "loss", "E‖v − (ε − x₀)‖², SD3 B.3")


def velocity_ratio(table: Table) -> Chart:
    """Plot the same relative to the loss at the native size."""
    return _by_t(table, "velocity-ratio", "Loss over that at the native size", "ratio", EXTENDED)


def few_steps(table: Table, measure: str, name: str, title: str, up: Axis) -> Chart:
    """Plot a measure against the number of network evaluations, a curve for each solver."""
    steps = numbers(table.column("steps"))
    reference = float(numbers(table.column(measure))[0])
    calls = numbers(table.column("calls"))
    parts = [only(table, solver=solver) for solver in distinct(table, "solver")]
    below = [_without_reference(part, int(steps[0])) for part in parts]
    line = Curve(
        f"{int(steps[0])} Euler steps",
        np.array([calls[1:].min(), calls[1:].max()]) if len(calls) > 1 else calls,
        np.full(2 if len(calls) > 1 else 1, reference),
        "grey",
        "dotted",
    )
    curves = [
        curve(str(part.column("solver")[0]), part, places(part, "calls"), measure, shade(index), strong=True)
        for index, part in enumerate(below)
        if part.rows
    ]
    return Chart(name, title, "SD3 table 6, left half", Axis(title_of("calls")), up, (*curves, line))


def depth(table: Table, measure: str, title: str, source: str, up: Axis) -> Chart:
    """Plot a measure against the depth of the model."""
    depths = places(table, "depth")
    one = curve(measure, table, depths, measure, "green", strong=True)
    along = Axis("depth of the transformer", ticks=tuple(depths.tolist()))
    return Chart(f"depth-{measure}", title, source, along, up, (one,))


def _by_t(table: Table, name: str, title: str, column: str, source: str) -> Chart:
    sides = distinct(table, "side")
    parts = [_levels(only(table, side=side)) for side in sides]
    return Chart(
        name,
        title,
        source,
        TIME,
        Axis(column, log=column == "ratio"),
        tuple(
            curve(f"{side} px", part, places(part, "t"), column, shade(index), strong=True)
            for index, (side, part) in enumerate(zip(sides, parts, strict=True))
        ),
    )


def _levels(table: Table) -> Table:
    """Return the rows of the levels, without their mean."""
    rows = tuple(row for row, t in zip(table.rows, table.column("t"), strict=True) if isinstance(t, float))
    return Table(table.study, table.columns, rows, table.caption)


def _without_reference(table: Table, steps: int) -> Table:
    rows = tuple(
        row
        for row, own, budget in zip(table.rows, table.column("steps"), table.column("budget"), strict=True)
        if not (own == budget == steps)
    )
    return Table(table.study, table.columns, rows, table.caption)


CHARTS: Mapping[str, Callable[[Table], Chart]] = {
    "path-length": path_length,
    "straightness": straightness,
    "velocity-loss": velocity_loss,
    "velocity-ratio": velocity_ratio,
    "few-steps-latent": partial(
        few_steps,
        measure="latent",
        name="few-steps-latent",
        title="Distance to 50 Euler steps",
        up=Axis("root mean square, latent"),
    ),
    "few-steps-score": partial(
        few_steps,
        measure="soft",
        name="few-steps-score",
        title="What few calls of the network cost",
        up=scores.MEASURES["soft"][1],
    ),
    "score": scores.score,
    "soft": scores.soft,
    "score-steps": partial(
        scores.against,
        setting="steps",
        measure="score",
        source="of one formulation; SD3 figure 3 compares several",
    ),
    "soft-steps": partial(
        scores.against,
        setting="steps",
        measure="soft",
        source="of one formulation; SD3 figure 3 compares several",
    ),
    "score-cfg": partial(scores.against, setting="cfg", measure="score", source=scores.SOURCE),
    "soft-cfg": partial(scores.against, setting="cfg", measure="soft", source=scores.SOURCE),
    "score-shift": partial(scores.by_size, measure="score"),
    "soft-shift": partial(scores.by_size, measure="soft"),
    "t5-off": partial(scores.by_t5_mode, measure="score", name="t5-off"),
    "t5-off-soft": partial(scores.by_t5_mode, measure="soft", name="t5-off-soft"),
    "depth-loss": partial(
        depth,
        measure="loss",
        title="Held-out velocity loss by depth",
        source="mean of t = 1/8 to 7/8, SD3 figure 8",
        up=Axis("loss"),
    ),
    "depth-score": partial(
        depth,
        measure="score",
        title="Score by depth",
        source=scores.SOURCE,
        up=scores.MEASURES["score"][1],
    ),
    "depth-length": partial(
        depth, measure="length", title="Path length by depth", source="SD3 table 6", up=Axis("length")
    ),
    **imax.CHARTS,
    **race.CHARTS,
}
"""Chart by name, as a study's `charts` name them."""
