"""Charts of a flow in the plane: its samples, their trajectories, and its loss."""

from collections.abc import Mapping, Sequence

import numpy as np

from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

COLOURS = ("grey", "green")
"""Of the flows before and after reflow."""


def trajectories(paths: Mapping[str, Numbers]) -> Chart:
    """Plot the paths of points from noise to data, (stops, B, 2), of one flow or several by title."""
    colours = COLOURS[-len(paths) :]
    return Chart(
        "trajectories",
        "Paths",
        "dz = v dt, SD3 eq. 1; 50 Euler steps",
        Axis("first coordinate"),
        Axis("second coordinate"),
        tuple(
            Curve(title, *_joined(stops), colour)
            for (title, stops), colour in zip(paths.items(), colours, strict=True)
        ),
        square=True,
    )


def losses(steps: Sequence[int], values: Sequence[float]) -> Chart:
    """Plot the training loss."""
    x, y = np.array(steps, dtype=np.float64), np.array(values)
    return Chart(
        "loss",
        "Training loss",
        "E‖v(z, t) − (ε − x₀)‖², SD3 eq. 8; t from π(t)",
        Axis("step of the training"),
        Axis("loss"),
        (Curve("loss", x, y, "green"),),
    )


def losses_by_t(
    first: Sequence[float],
    now: Sequence[float],
    irreducible: Sequence[float] = (),
    excess: Sequence[float] = (),
) -> Chart:
    """Plot the loss at evenly spaced levels of t, at the start and now, and its two parts where known."""
    t = np.arange(1, len(now) + 1) / len(now)
    parts = (
        ("cannot be learned", irreducible, "violet"),
        ("left to learn", excess, "orange"),
    )
    return Chart(
        "loss-by-t",
        "Loss by t",
        "at eight levels, on held-out points, SD3 B.3",
        Axis("time t  (0 data, 1 noise)", (0, 1.05)),
        Axis("loss"),
        (
            Curve("after 50 steps", t, np.array(first), "grey", "dots"),
            Curve("now", t, np.array(now), "green", "dots", strong=True),
            *(Curve(name, t, np.array(values), colour, "dots") for name, values, colour in parts if values),
        ),
    )


def _joined(stops: Numbers) -> tuple[Numbers, Numbers]:
    """Join many paths, (stops, B, 2), into one curve with a gap after each."""
    gap = np.full((1, *stops.shape[1:]), np.nan)
    paths = np.concatenate([stops, gap]).swapaxes(0, 1).reshape(-1, 2).astype(np.float64)
    return paths[:, 0], paths[:, 1]
