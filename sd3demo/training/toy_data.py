"""Distributions of points in the plane, each about as wide as the standard normal noise of its flow."""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sd3demo.errors import Refusal
from sd3demo.flow.exact import Gaussian, Mixture

Points: TypeAlias = Callable[[int, torch.Generator], Tensor]
"""A number of points, (count, 2)."""

WIDTH = 1.8  # half of the side of the square that a checkerboard or a drawing fills

NORMAL = Gaussian(torch.tensor([1.0, -0.5]), torch.tensor([1.2, 0.3]))
"""One normal distribution."""
CLUSTERS = Mixture(
    (0.25,) * 4,
    tuple(Gaussian(torch.tensor([x, y]), 0.12) for x in (-1.41, 1.41) for y in (-1.41, 1.41)),
)
"""Four narrow ones, at the corners of a square."""
EXACT: Mapping[str, Gaussian | Mixture] = {"clusters": CLUSTERS, "normal": NORMAL}
"""Data whose flow is known in closed form."""


def moons(count: int, generator: torch.Generator) -> Tensor:
    """Two half circles, one reaching into the other."""
    angle = math.pi * torch.rand(count, generator=generator)
    upper = torch.rand(count, generator=generator) < 0.5
    x = torch.where(upper, angle.cos() - 0.5, 0.5 - angle.cos())
    y = torch.where(upper, angle.sin() - 0.25, 0.25 - angle.sin())
    return 1.3 * torch.stack([x, y], 1) + 0.08 * torch.randn((count, 2), generator=generator)


def rings(count: int, generator: torch.Generator) -> Tensor:
    """Two circles about one centre."""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    radius = torch.where(torch.rand(count, generator=generator) < 0.4, 0.7, 1.7)
    circle = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return circle + 0.06 * torch.randn((count, 2), generator=generator)


def checkerboard(count: int, generator: torch.Generator) -> Tensor:
    """The dark fields of a board of four by four."""
    row = torch.randint(4, (count,), generator=generator)
    column = 2 * torch.randint(2, (count,), generator=generator) + row % 2
    inside = torch.rand((count, 2), generator=generator)
    return (torch.stack([column, row], 1) + inside) * (WIDTH / 2) - WIDTH


def normal(count: int, generator: torch.Generator) -> Tensor:
    """A normal distribution, wide one way and narrow the other."""
    return NORMAL.sample(count, generator)


def drawn(ink: NDArray[np.float64]) -> Points:
    """Points where there is ink, (rows, columns), as much of it as there is.

    Raises:
        Refusal: the sheet is empty.
    """
    amount = torch.from_numpy(np.clip(ink, 0, None).astype(np.float64))
    if not float(amount.sum()) > 0:
        raise Refusal("the sheet is empty; draw something on it, or choose other data")
    rows, columns = amount.shape
    scale = 2 * WIDTH / max(rows, columns)

    def points(count: int, generator: torch.Generator) -> Tensor:
        place = torch.multinomial(amount.flatten(), count, replacement=True, generator=generator)
        corner = torch.stack([place % columns, rows - 1 - place // columns], 1)
        inside = torch.rand((count, 2), generator=generator)
        return (corner + inside - torch.tensor([columns / 2, rows / 2])) * scale

    return points


def clusters(count: int, generator: torch.Generator) -> Tensor:
    """Four clusters."""
    return CLUSTERS.sample(count, generator)


POINTS: Mapping[str, Points] = {
    "moons": moons,
    "clusters": clusters,
    "rings": rings,
    "checkerboard": checkerboard,
    "normal": normal,
}
