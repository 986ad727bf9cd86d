"""Charts of a flow in the plane: its samples, their trajectories, and its loss."""

from collections.abc import Sequence

import numpy as np

from sd3demo.flow.solvers import Step
from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

EDGE = 3.0
ACROSS, UP = Axis("first coordinate", (-EDGE, EDGE)), Axis("second coordinate", (-EDGE, EDGE))


def cloud(data: Numbers, samples: Numbers, steps: int) -> Chart:
    """Plot samples of a number of Euler steps over the data, (n, 2) both."""
    return Chart(
        f"samples-{steps}",
        f"Samples in {steps} step{'s' if steps > 1 else ''}",
        "Euler, SD3 eq. 1; over the data",
        ACROSS,
        UP,
        (
            Curve("data", data[:, 0], data[:, 1], "grey", "points"),
            Curve("samples", samples[:, 0], samples[:, 1], "green", "points"),
        ),
        square=True,
    )


def trajectories(steps: Sequence[Step], title: str) -> Chart:
    """Plot the paths of points from noise to data, and their chords."""
    stops = np.stack([steps[0].x.numpy(), *(step.x_next.numpy() for step in steps)])  # (count + 1, B, 2)
    ends = stops[[0, -1]]
    return Chart(
        "trajectories",
        title,
        "dz = v dt, SD3 eq. 1; chords: dotted",
        ACROSS,
        UP,
        (
            Curve("chord", *_joined(ends), "grey", "dotted"),
            Curve("path", *_joined(stops), "green"),
            Curve("noise", stops[0, :, 0], stops[0, :, 1], "blue", "points"),
            Curve("sample", stops[-1, :, 0], stops[-1, :, 1], "orange", "points"),
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
