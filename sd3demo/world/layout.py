"""Where things stand on a picture, in units of its side: each near the middle of a cell of its own.

Each number of things has its pattern, as on dice. Random places would have to be decided all at once, at the
highest noise level, where the model knows least.
"""

from __future__ import annotations

import random

Region = tuple[float, float, float, float]  # x0, y0, x1, y1
Disc = tuple[float, float, float]  # x, y, r

MARGIN = 0.03
"""Least distance from a thing to the picture's border."""
GAP = 0.055
"""Least distance between two things."""
JITTER = 0.08
"""Largest distance of a thing from the middle of its cell, along each axis."""
RADII = {1: (0.19, 0.34), 2: (0.15, 0.22), 3: (0.125, 0.18), 4: (0.115, 0.16), 5: (0.11, 0.145)}
"""Circumradius of a thing by the number of things in the scene."""
SMALL_BELOW, LARGE_FROM = 0.24, 0.29
"""A single thing is called small below the first radius and large from the second on."""
ROWS = {1: (1,), 2: (2,), 3: (1, 2), 4: (2, 2), 5: (2, 1, 2)}
"""Number of equal things -> how many stand in each row."""
PICTURE: Region = (MARGIN - GAP / 2, MARGIN - GAP / 2, 1 - MARGIN + GAP / 2, 1 - MARGIN + GAP / 2)
"""The region of the cells; a thing keeps half a GAP from the border of its cell."""
DIRECTIONS = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
"""From the middle of the picture outwards."""
SPLITS = (0.5, 0.4, 0.6)
"""Where the picture is divided between two groups: the first of these that has room for both."""


def _cells(rows: tuple[int, ...], region: Region) -> list[Region]:
    """Cut the region evenly into rows, and each row into cells, one for each thing."""
    x0, y0, x1, y1 = region
    tall = (y1 - y0) / len(rows)
    return [
        (x0 + k * (x1 - x0) / n, y0 + row * tall, x0 + (k + 1) * (x1 - x0) / n, y0 + (row + 1) * tall)
        for row, n in enumerate(rows)
        for k in range(n)
    ]


def _fit(cells: list[Region]) -> float:
    """Return the largest radius that fits in every cell."""
    return min((min(x1 - x0, y1 - y0) - GAP) / 2 for x0, y0, x1, y1 in cells)


def _near_middle(rng: random.Random, cell: Region, r: float) -> Disc:
    """Draw a disc of radius r in its cell, off the middle by JITTER at most."""
    x0, y0, x1, y1 = cell
    dx, dy = (min(JITTER, (side - GAP) / 2 - r) for side in (x1 - x0, y1 - y0))
    return (x0 + x1) / 2 + rng.uniform(-dx, dx), (y0 + y1) / 2 + rng.uniform(-dy, dy), r


def _pattern(count: int, region: Region, smallest: float) -> list[Region]:
    """Return the cells of `count` things: by ROWS, else in one line, else [] where neither fits."""
    patterns = (_cells(rows, region) for rows in (ROWS[count], (count,), (1,) * count))
    return next((cells for cells in patterns if _fit(cells) >= smallest), [])


def _grouped(rng: random.Random, cells: list[Region], radii: tuple[float, float]) -> list[Disc]:
    """Draw a disc in each cell, all of one radius within `radii`."""
    r = rng.uniform(radii[0], min(radii[1], _fit(cells)))
    return [_near_middle(rng, cell, r) for cell in cells]


def together(rng: random.Random, count: int) -> list[Disc]:
    """Draw one group of discs of one radius on the whole picture."""
    return _grouped(rng, _cells(ROWS[count], PICTURE), RADII[count])


def _halves(relation: str, split: float) -> tuple[Region, Region]:
    """Return the regions of the first and the second group."""
    x0, y0, x1, y1 = PICTURE
    low, high = (
        ((x0, y0, split, y1), (split, y0, x1, y1))
        if relation in ("left of", "right of")
        else ((x0, y0, x1, split), (x0, split, x1, y1))
    )
    return (low, high) if relation in ("left of", "above") else (high, low)


def beside(rng: random.Random, counts: tuple[int, int], relation: str) -> list[list[Disc]]:
    """Draw two groups of discs, the first in this relation to the second, each of one radius."""
    radii = RADII[sum(counts)]
    divided = (
        [_pattern(n, half, radii[0]) for n, half in zip(counts, _halves(relation, split), strict=True)]
        for split in SPLITS
    )
    return [_grouped(rng, cells, radii) for cells in next(filter(all, divided))]


def across(rng: random.Random) -> list[list[Disc]]:
    """Draw two single discs in opposite corners, the first one on the left."""
    corners = _cells((2, 2), PICTURE)
    ends = rng.choice(((corners[0], corners[3]), (corners[2], corners[1])))
    return [[_near_middle(rng, cell, rng.uniform(*RADII[2]))] for cell in ends]


def alone(rng: random.Random) -> Disc:
    """Draw one disc: half of the time of medium size; half of the time in the middle, else nearly as far out
    as it fits in one of the eight directions."""
    low, high = RADII[1]
    small, medium, large = (low, SMALL_BELOW), (SMALL_BELOW, LARGE_FROM), (LARGE_FROM, high)
    r = rng.uniform(*rng.choice((small, medium, medium, large)))
    free = 0.5 - MARGIN - r
    directions = rng.choice(DIRECTIONS) if rng.random() < 0.5 else (0, 0)
    x, y = (
        0.5
        + (direction * free * rng.uniform(0.85, 1) if direction else rng.uniform(-1, 1) * min(JITTER, free))
        for direction in directions
    )
    return x, y, r
