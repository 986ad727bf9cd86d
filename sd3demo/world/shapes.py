"""Signed distances of the world's shapes, each within one radius along x and y, negative inside; in
torch, for any device.

Formulas follow Inigo Quilez, 'distfunctions2d'. They are sized to look alike in size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sd3demo.world.vocabulary import SHAPES


def circle(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.86


def ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.66).abs() - 0.24


def _box(x: Tensor, y: Tensor, half_x: float, half_y: float) -> Tensor:
    dx, dy = x.abs() - half_x, y.abs() - half_y
    return torch.hypot(dx.clamp(min=0), dy.clamp(min=0)) + torch.maximum(dx, dy).clamp(max=0)


def square(x: Tensor, y: Tensor) -> Tensor:
    return _box(x, y, 0.74, 0.74)


def diamond(x: Tensor, y: Tensor) -> Tensor:
    return (x.abs() / 0.80 + y.abs() - 1.0) * (0.80 / math.hypot(0.80, 1.0))


def cross(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(_box(x, y, 0.90, 0.28), _box(x, y, 0.28, 0.90))


def _polygon(x: Tensor, y: Tensor, corners: list[tuple[float, float]]) -> Tensor:
    """Signed distance to a simple polygon by the even-odd rule."""
    squared = torch.full_like(x, math.inf)
    sign = torch.ones_like(x)
    for (ax, ay), (bx, by) in zip(corners, corners[-1:] + corners[:-1], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        along = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        squared = torch.minimum(squared, (wx - ex * along) ** 2 + (wy - ey * along) ** 2)
        straddles = (y >= ay) != (y >= by)
        left = (wx * ey < wy * ex) if ey > 0 else (wx * ey > wy * ex)
        sign = torch.where(straddles & left, -sign, sign)
    return sign * squared.sqrt()


def triangle(x: Tensor, y: Tensor) -> Tensor:
    return _polygon(x, y, [(0.0, -0.92), (0.92, 0.72), (-0.92, 0.72)])


def star(x: Tensor, y: Tensor) -> Tensor:
    corners = [
        (radius * math.sin(math.pi * k / 5), 0.06 - radius * math.cos(math.pi * k / 5))
        for k in range(10)
        for radius in [1.0 if k % 2 == 0 else 0.44]
    ]
    return _polygon(x, y, corners)


def heart(x: Tensor, y: Tensor) -> Tensor:
    scale = 1.42
    x, y = x.abs() / scale, (0.72 - y) / scale
    lobe = torch.hypot(x - 0.25, y - 0.75) - math.sqrt(2) / 4
    half = ((x + y).clamp(min=0)) * 0.5
    body = torch.minimum(torch.hypot(x, y - 1.0), torch.hypot(x - half, y - half)) * torch.sign(x - y)
    return torch.where(x + y > 1.0, lobe, body) * scale


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "diamond": diamond,
    "star": star,
    "heart": heart,
    "ring": ring,
    "cross": cross,
}
"""Name -> signed distance at (x, y), y down, in units of the circumradius."""
assert set(DISTANCES) == set(SHAPES)
