"""Charts of a path through latent space: its length, straightness and turns, and the effect of CFG.

Each is a function of a trace; a second trace is drawn in grey for comparison.
"""

import math

import numpy as np

from sd3demo.engine.record.traces import Trace
from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

TIME = Axis("time t  (1 noise, 0 data)", (1.03, -0.03))
NOW, BEFORE = "this run", "previous run"


def charts(trace: Trace, before: Trace | None = None) -> dict[str, Chart]:
    """Return every chart of a trace by name."""
    drawn = (
        moves(trace, before),
        travelled(trace, before),
        angles(trace, before),
        projection(trace, before),
        guidance_norms(trace),
        guidance_angle(trace, before),
    )
    return {chart.name: chart for chart in drawn}


def moves(trace: Trace, before: Trace | None = None) -> Chart:
    """Plot the length of each move, and that of a move along the chord at constant speed."""
    even = trace.shape.chord * -np.diff(trace.sigmas)
    curves = [
        Curve("move", _numbers(trace), trace.shape.moves, "green", "bars"),
        Curve("chord × (tᵢ − tᵢ₊₁)", _numbers(trace), even, "orange", "dots"),
    ]
    if before is not None:
        curves.append(Curve(BEFORE, _numbers(before), before.shape.moves, "grey", "dots"))
    return Chart(
        "move-lengths",
        "How far each step goes",
        "‖z₍ᵢ₊₁₎ − zᵢ‖₂, for Euler ‖v dt‖₂; SD3 table 6",
        Axis("step  (first: noise)"),
        Axis("length of the move"),
        tuple(curves),
    )


def travelled(trace: Trace, before: Trace | None = None) -> Chart:
    """Plot the cumulative length, its chord, and what bounds an unguided mean length from above."""
    ends = np.array([1.0, 0.0])
    curves = [
        Curve("path so far", trace.sigmas, _cumulative(trace), "green", "dots", strong=True),
        Curve("its chord", ends, np.full(2, trace.shape.chord), "orange", "dashed"),
        Curve("√(2D)", ends, np.full(2, length_bound(trace)), "violet", "dotted"),
    ]
    if before is not None:
        curves.append(Curve(BEFORE, before.sigmas, _cumulative(before), "grey", "dots"))
    return Chart(
        "travelled",
        f"The path is {trace.shape.length:.1f} long",
        "Σ ‖z₍ᵢ₊₁₎ − zᵢ‖₂ to time t; SD3 table 6",
        TIME,
        Axis("length to time t", (0, 1.08 * _longest(trace, before))),
        tuple(curves),
    )


def angles(trace: Trace, before: Trace | None = None) -> Chart:
    """Plot the angle of each velocity to the one before, and of each move to the chord."""
    curves = [
        Curve("off the chord", trace.sigmas[:-1], np.degrees(trace.shape.to_chord), "orange", "dots"),
        Curve("turn", *_turns(trace), "green", "dots", strong=True),
    ]
    if before is not None:
        curves.append(Curve(BEFORE, *_turns(before), "grey", "dots"))
    return Chart(
        "angles",
        "Where the path turns",
        "vᵢ to vᵢ₋₁, and moves to the chord; straight: 0",
        TIME,
        Axis("angle in degrees", _from_zero(*(curve.y for curve in curves))),
        tuple(curves),
    )


def projection(trace: Trace, before: Trace | None = None) -> Chart:
    """Plot the states on their two principal directions, with the chord; the second axis is stretched."""
    plane = trace.shape.projection()
    curves = [
        Curve("chord", *_columns(plane.states[[0, -1]]), "orange", "dashed"),
        Curve("path", *_columns(plane.states), "green", "dots", strong=True),
    ]
    if before is not None:
        curves.insert(0, Curve(BEFORE, *_columns(before.shape.projection().states), "grey", "dots"))
    first, second = (f"{100 * share:.1f}%" for share in plane.share)
    return Chart(
        "projection",
        "The path from its two main sides",
        "principal components of the states z; stretched up",
        Axis(f"first direction, {first} of the variance"),
        Axis(f"second direction, {second}"),
        tuple(curves),
    )


def guidance_norms(trace: Trace) -> Chart:
    """Plot the norms of the two branches' velocities and of the guided one."""
    conditional, unconditional, guided = trace.guidance[:, :3].astype(np.float64).T
    t = trace.sigmas[:-1]
    curves = (
        Curve("prompt, v_c", t, conditional, "blue", "dots"),
        Curve("without, v_u", t, unconditional, "grey", "dots"),
        Curve("guided, v", t, guided, "green", "dots", strong=True),
    )
    return Chart(
        "guidance-norms",
        "How fast: guided, and by each branch",
        "v = v_u + w (v_c − v_u); norms at each step",
        TIME,
        Axis("norm ‖·‖₂"),
        curves,
    )


def guidance_angle(trace: Trace, before: Trace | None = None) -> Chart:
    """Plot the angle between the two branches' velocities."""
    curves = [Curve(NOW, *_branch_angle(trace), "green", "dots", strong=True)]
    if before is not None:
        curves.append(Curve(BEFORE, *_branch_angle(before), "grey", "dots"))
    return Chart(
        "guidance-angle",
        "How far the prompt turns the velocity",
        "the angle between v_c and v_u",
        TIME,
        Axis("angle in degrees", _from_zero(*(curve.y for curve in curves))),
        tuple(curves),
    )


def length_bound(trace: Trace) -> float:
    """Return sqrt(2 D), above the mean length of a perfect flow of unit variance without guidance."""
    return math.sqrt(2 * trace.entries)


def _numbers(trace: Trace) -> Numbers:
    return np.arange(1, trace.steps + 1, dtype=np.float64)


def _cumulative(trace: Trace) -> Numbers:
    return np.concatenate(([0.0], np.cumsum(trace.shape.moves)))


def _longest(*traces: Trace | None) -> float:
    lengths = [max(trace.shape.length, length_bound(trace)) for trace in traces if trace is not None]
    return max(lengths)


def _turns(trace: Trace) -> tuple[Numbers, Numbers]:
    """Return the turns at each time after the first, which has no velocity before it."""
    return trace.sigmas[1:-1], np.degrees(trace.turns[1:].astype(np.float64))


def _columns(states: Numbers) -> tuple[Numbers, Numbers]:
    return states[:, 0], states[:, 1]


def _branch_angle(trace: Trace) -> tuple[Numbers, Numbers]:
    return trace.sigmas[:-1], np.degrees(trace.guidance[:, 3].astype(np.float64))


def _from_zero(*values: Numbers) -> tuple[float, float]:
    highest = max((float(np.nanmax(one)) for one in values if np.isfinite(one).any()), default=0.0)
    return (0.0, 1.1 * highest or 1.0)
