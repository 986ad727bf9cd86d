"""A stroke alphabet: each capital is a few line segments in the box [0, 0.7] x [0, 1] (y down), drawn
with a pen."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

PEN = 0.085
"""Half the pen's width, in units of the letter's height."""
WIDTH = 0.7
"""Width of a letter in units of its height; the advance is 1, so that letters never touch."""

Point = tuple[float, float]
_W, _E = PEN, WIDTH - PEN  # the pen's centre stays inside the box
_N, _S = PEN, 1 - PEN
_X, _Y = WIDTH / 2, 0.5


def _arc(
    cx: float, cy: float, rx: float, ry: float, start: float, stop: float, pieces: int = 6
) -> list[Point]:
    """Points on an ellipse from `start` to `stop` degrees, 0 to the right, clockwise on the screen."""
    angles = [math.radians(start + (stop - start) * k / pieces) for k in range(pieces + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


_RX, _RY = (_E - _W) / 2, (_S - _N) / 2
_UP, _LOW = (_N + _Y) / 2, (_Y + _S) / 2  # centres of the two storeys
_H = (_Y - _N) / 2  # half a storey

_STROKES: dict[str, list[list[Point]]] = {
    "A": [[(_W, _S), (_X, _N), (_E, _S)], [(0.19, 0.66), (WIDTH - 0.19, 0.66)]],
    "B": [
        [(_W, _N), (_W, _S)],
        [(_W, _N), (_X, _N), *_arc(_X, _UP, _RX * 0.9, _H, -90, 90, 4), (_W, _Y)],
        [(_X, _Y), *_arc(_X, _LOW, _RX, _H, -90, 90, 4), (_W, _S)],
    ],
    "C": [_arc(_X, _Y, _RX, _RY, -50, -310, 8)],
    "D": [
        [(_W, _N), (_W, _S)],
        [(_W, _N), (0.25, _N), *_arc(0.25, _Y, _E - 0.25, _RY, -90, 90, 6), (_W, _S)],
    ],
    "E": [[(_E, _N), (_W, _N), (_W, _S), (_E, _S)], [(_W, _Y), (_E - 0.08, _Y)]],
    "F": [[(_E, _N), (_W, _N), (_W, _S)], [(_W, _Y), (_E - 0.08, _Y)]],
    "G": [_arc(_X, _Y, _RX, _RY, -50, -330, 8), [(_X + 0.04, 0.56), (_E, 0.56), (_E, 0.78)]],
    "H": [[(_W, _N), (_W, _S)], [(_E, _N), (_E, _S)], [(_W, _Y), (_E, _Y)]],
    "I": [[(_W, _N), (_E, _N)], [(_X, _N), (_X, _S)], [(_W, _S), (_E, _S)]],
    "J": [
        [(0.25, _N), (_E, _N)],
        [
            (_E - 0.1, _N),
            (_E - 0.1, 0.7),
            *_arc((_W + _E - 0.1) / 2, 0.7, (_E - 0.1 - _W) / 2, _S - 0.7, 0, 180, 5),
        ],
    ],
    "K": [[(_W, _N), (_W, _S)], [(_E, _N), (_W, 0.56)], [(0.26, 0.44), (_E, _S)]],
    "L": [[(_W, _N), (_W, _S), (_E, _S)]],
    "M": [[(_W, _S), (_W, _N), (_X, 0.55), (_E, _N), (_E, _S)]],
    "N": [[(_W, _S), (_W, _N), (_E, _S), (_E, _N)]],
    "O": [_arc(_X, _Y, _RX, _RY, 0, 360, 12)],
    "P": [[(_W, _S), (_W, _N), (_X, _N), *_arc(_X, 0.31, _RX, 0.31 - _N, -90, 90, 5), (_W, 0.53)]],
    "Q": [_arc(_X, _Y, _RX, _RY, 0, 360, 11), [(_X + 0.02, 0.62), (_E, _S)]],
    "R": [
        [(_W, _S), (_W, _N), (_X, _N), *_arc(_X, 0.31, _RX, 0.31 - _N, -90, 90, 5), (_W, 0.53)],
        [(_X - 0.04, 0.53), (_E, _S)],
    ],
    "S": [[*_arc(_X, _UP, _RX, _H, -30, -270, 5), *_arc(_X, _LOW, _RX, _H, -90, 150, 5)]],
    "T": [[(_W, _N), (_E, _N)], [(_X, _N), (_X, _S)]],
    "U": [[(_W, _N), (_W, 0.63), *_arc(_X, 0.63, _RX, _S - 0.63, 180, 0, 6), (_E, _N)]],
    "V": [[(_W, _N), (_X, _S), (_E, _N)]],
    "W": [[(_W, _N), (0.18, _S), (_X, 0.4), (WIDTH - 0.18, _S), (_E, _N)]],
    "X": [[(_W, _N), (_E, _S)], [(_E, _N), (_W, _S)]],
    "Y": [[(_W, _N), (_X, _Y), (_E, _N)], [(_X, _Y), (_X, _S)]],
    "Z": [[(_W, _N), (_E, _N), (_W, _S), (_E, _S)]],
}


def _segments(letter: str) -> list[tuple[Point, Point]]:
    pairs = [pair for stroke in _STROKES[letter] for pair in itertools.pairwise(stroke)]
    return [(a, b) for a, b in pairs if math.dist(a, b) > 1e-6]  # arcs may begin where a line ends


SEGMENTS = {letter: torch.tensor(_segments(letter)) for letter in _STROKES}
"""Letter -> (segments, 2 ends, xy) in units of its height."""


def distance(letter: str, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to the letter at (x, y) in units of its height, its centre at the origin, y down."""
    ends = SEGMENTS[letter].to(x)
    nearest = torch.full_like(x, math.inf)
    for (ax, ay), (bx, by) in ends.tolist():
        ex, ey = bx - ax, by - ay
        wx, wy = x + (WIDTH / 2 - ax), y + (0.5 - ay)
        along = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        nearest = torch.minimum(nearest, (wx - ex * along) ** 2 + (wy - ey * along) ** 2)
    return nearest.sqrt() - PEN
