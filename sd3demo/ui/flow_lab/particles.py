"""Particles of a flow in the plane, before and after reflow, as HTML that particles.js moves.

The server sends every path once: the browser moves the particles along them under a slider over t, and draws
the paths of a few. Positions are whole numbers of 16 bits, as parts of the plot's edge.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sd3demo.flow.solvers import Step
    from sd3demo.plots.chart import Numbers

COUNTS = (1, 2, 5, 50)
"""Euler steps to choose from; the last are shown at first."""
FRAMES = 25  # moves of a path that are sent, at most: between them particles go straight
TRAILS = 48  # particles whose paths are drawn
WHOLE = 32767  # the edge of the plot
START = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""An empty picture, whose arrival starts the script."""


@dataclass(frozen=True, eq=False)
class FlowSide:
    """One flow: its title, a line below it, and by number of steps the places of its particles."""

    title: str
    note: str
    paths: Mapping[int, Numbers]  # (moves + 1, B, 2), from noise to data


def stops_of(steps: Sequence[Step]) -> Numbers:
    """The places of all particles, (moves + 1, B, 2), every second or third one where they are many."""
    stops = np.stack([steps[0].x.numpy(), *(step.x_next.numpy() for step in steps)]).astype(np.float64)
    return stops[:: math.ceil(len(steps) / FRAMES)]


def edge_of(*points: Numbers) -> float:
    """Half the side of the square that shows all but the outermost of these points, (..., 2), in halves.

    Between 1 and 6. Of each array one coordinate in two hundred may lie beyond it, as one of noise does.
    """
    found = [np.abs(each[np.isfinite(each)]) for each in points]
    furthest = max(float(np.quantile(each, 0.995)) if each.size else 0.0 for each in found)
    return min(max(math.ceil(furthest * 2.02) / 2, 1.0), 6.0)


def particles_html(sides: Sequence[FlowSide], data: Numbers, *, live: bool = False) -> str:
    """The flows side by side over their data, (n, 2), with Play, a slider over t and a choice of steps.

    `live` is a flow that is being trained: what the visitor set stays as it is.
    """
    edge = edge_of(data, *(path for side in sides for path in side.paths.values()))
    told = {
        "edge": edge,
        "data": _packed(data, edge),
        "trails": TRAILS,
        "sides": [{str(count): _packed(path, edge) for count, path in side.paths.items()} for side in sides],
        "particles": len(next(iter(sides[0].paths.values()))[0]),
    }
    text = json.dumps(told)
    key = sha256(text.encode()).hexdigest()[:16]  # a new one loads the image anew, which tells the script
    screens = "".join(_screen(side) for side in sides)
    counts = "".join(
        f'<button type="button" data-count="{count}" aria-pressed="{str(count == COUNTS[-1]).lower()}" '
        f'onclick="sd3demo.particleSteps(this)">{count}</button>'
        for count in COUNTS
    )
    return (
        f'<div class="particles" data-told="{escape(text)}"{" data-live" if live else ""}>'
        f'<img hidden src="{START}#{key}" alt="" onload="sd3demo.particles(this)">'
        f'<div class="screens">{screens}</div>'
        '<p class="reel"><button type="button" onclick="sd3demo.playParticles(this)" aria-label="Play">▶'
        '</button><input type="range" min="0" max="1000" value="1000" oninput="sd3demo.particleTime(this)" '
        'aria-label="Time, from noise at t = 1 to data at t = 0"><output></output></p>'
        f'<p class="counts" role="group" aria-label="Euler steps"><span>Euler steps</span>{counts}</p></div>'
    )


def _screen(side: FlowSide) -> str:
    """A place to draw on with its title; without paths the note alone."""
    title, note = escape(side.title), escape(side.note)
    if not side.paths:
        return f'<figure class="none"><p>{note}</p><figcaption><b>{title}</b></figcaption></figure>'
    return (
        f'<figure><canvas width="640" height="640" role="img" aria-label="{title}: particles on their way '
        f'from noise to the data. {note}"></canvas>'
        f"<figcaption><b>{title}</b><small>{note}</small></figcaption></figure>"
    )


def _packed(points: Numbers, edge: float) -> str:
    """Points (..., 2) in base64: x and y of each in turn, as parts of the edge."""
    whole = np.clip(np.rint(points / edge * WHOLE), -WHOLE, WHOLE).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode()
