"""What a trace shows, in plain words: lengths, turns, guidance, and what the paper measured elsewhere."""

import math
from html import escape

import numpy as np

from sd3demo.engine.record.traces import Trace
from sd3demo.settings import Resolved, counted
from sd3demo.ui.controls.labels import label

TABLE_6 = ((15, 191.13), (30, 187.96), (38, 185.96))
"""SD3 paper, table 6: depth and path length at 50 steps."""
PAPER_ENTRIES = 32 * 32 * 16
"""Of its latents if they are of 256 x 256 px: the table names no size, its lengths fit this one."""
EVEN = 0.005  # how much longer than its chord a path may be to be called straight


def figures(trace: Trace) -> str:
    """The numbers of table 6 for this path, and what they are measured by."""
    shape, expected = trace.shape, _expected(trace)
    rows = {
        "Path": (f"{shape.length:.1f}", "Σ ‖v dt‖₂"),
        "Chord": (f"{shape.chord:.1f}", "noise to picture"),
        "Straightness": (f"{shape.straightness:.3f}", "chord / path"),
        "√(2<i>D</i>)": (f"{expected:.1f}", f"<i>D</i> = {trace.entries:,}"),
        "Sharpest turn": (f"{_turn(trace)[0]:.1f}°", f"at <i>t</i> = {_turn(trace)[1]:.2f}"),
        "Calls": (str(trace.calls), counted(trace.steps, "step")),
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    return f'<dl class="figures">{items}</dl>'


def story(trace: Trace, before: Trace | None) -> str:
    """What was run, what differs from the trace before, how straight it went, and what guidance did."""
    parts = (_run(trace), _length(trace), _bend(trace), _guidance(trace))
    paragraphs = "".join(f"<p>{part}</p>" for part in parts if part)
    return _changed(trace, before) + paragraphs


def context(trace: Trace) -> str:
    """The paper's own values, with the size they belong to: another model, another number of dimensions."""
    expected = math.sqrt(2 * PAPER_ENTRIES)
    rows = "".join(
        f"<tr><th scope='row'>{depth}</th><td>{length:.2f}</td>"
        f"<td>{100 * (length / expected - 1):.1f}%</td></tr>"
        for depth, length in TABLE_6
    )
    return (
        "<div class='listing'><table><caption>SD3, table 6: 50 steps. The table names no size; these lengths "
        f"fit 256 × 256 px, <i>D</i> = {PAPER_ENTRIES:,}, where √(2<i>D</i>) = {expected:.2f}. Lengths grow "
        "with √<i>D</i>, so these compare with each other and not with the path above, whose <i>D</i> is "
        f"{trace.entries:,}.</caption>"
        "<thead><tr>"
        "<th scope='col'>depth</th><th scope='col'>path length</th><th scope='col'>above √(2<i>D</i>)</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def stretched(trace: Trace) -> str:
    """How much the second axis of the projection is stretched in a plot that fills its frame."""
    states = trace.shape.projection().states
    across, up = np.ptp(states, axis=0)
    if up <= 1e-6 * across:
        return "Seen from any side this path is a straight line."
    return (
        f"The bend is {up:.1f} high on a path {across:.1f} wide: the plot stretches it about "
        f"{across / up:.0f} times to make it seen."
    )


def _run(trace: Trace) -> str:
    request = trace.request
    guided = f"CFG scale {request.cfg:g}" if request.cfg != 1 else "CFG off"
    solver = label("solver").names.get(request.solver, request.solver)
    return (
        f"“{escape(request.prompt)}”: {counted(request.steps, 'step')} of {solver}, {guided}, "
        f"shift {request.shift:g} on the {request.schedule} schedule, "
        f"seed {request.seed}, {request.width} × {request.height} px."
    )


def _length(trace: Trace) -> str:
    shape, expected = trace.shape, _expected(trace)
    excess = shape.length / shape.chord - 1 if shape.chord else 0.0
    how = "straight" if excess <= EVEN else f"{100 * excess:.1f}% longer than straight"
    return (
        f"The path is {shape.length:.1f} long and its chord {shape.chord:.1f}: <b>{how}</b>. Without "
        f"CFG, a perfect flow between noise and data of unit variance measures at most √(2<i>D</i>) = "
        f"{expected:.1f} on average; CFG may exceed it."
    )


def _bend(trace: Trace) -> str:
    away, (turn, t) = trace.shape.from_chord, _turn(trace)
    k = int(np.argmax(away))
    if trace.shape.chord == 0 or away[k] < 1e-3 * trace.shape.chord:
        return "It never leaves its chord."
    share = 100 * away[k] / trace.shape.chord
    return (
        f"It is farthest from the chord at <i>t</i> = {trace.sigmas[k]:.2f}, by {share:.1f}% of the chord's "
        f"length, and turns most at <i>t</i> = {t:.2f}, by {turn:.1f}°."
    )


def _guidance(trace: Trace) -> str:
    conditional, unconditional, guided, apart = trace.guidance.astype(np.float64).T
    asked = np.isfinite(unconditional)
    if not asked.any():
        return "CFG is off: the velocity is that of the prompt alone."
    widest = int(np.nanargmax(np.where(asked, apart, -1)))
    ratio = guided[asked] / conditional[asked]
    most = int(np.argmax(np.abs(np.log(ratio))))
    return (
        f"The prompt turns the velocity by up to {math.degrees(apart[widest]):.1f}°, at <i>t</i> = "
        f"{trace.sigmas[widest]:.2f}. At CFG scale {trace.request.cfg:g} and <i>t</i> = "
        f"{trace.sigmas[:-1][asked][most]:.2f} the guided velocity is {ratio[most]:.2f} times as long as the "
        "prompt's."
    )


def _changed(trace: Trace, before: Trace | None) -> str:
    """What differs from the trace before, and what that did to the path."""
    if before is None:
        return ""
    now, then = trace.request, before.request
    names = [name for name in Resolved.model_fields if getattr(now, name) != getattr(then, name)]
    what = ", ".join(
        f"<b>{label(name).title}</b> {_text_of(getattr(then, name))} → {_text_of(getattr(now, name))}"
        for name in names
    )
    lengths = f"path {before.shape.length:.1f} → {trace.shape.length:.1f}"
    straight = f"straightness {before.shape.straightness:.3f} → {trace.shape.straightness:.3f}"
    said = what or "The same settings"
    return f'<p class="changed">{said}: {lengths}, {straight}. The previous run is grey in the plots.</p>'


def _text_of(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value) or "empty"
    return escape(text if len(text) <= 40 else f"{text[:37]}…")


def _expected(trace: Trace) -> float:
    return math.sqrt(2 * trace.entries)


def _turn(trace: Trace) -> tuple[float, float]:
    """The sharpest turn in degrees, and the time at which it is made."""
    k = int(np.argmax(trace.turns))
    return math.degrees(float(trace.turns[k])), float(trace.sigmas[k])
