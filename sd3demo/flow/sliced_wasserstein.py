"""The sliced Wasserstein distance of two sets of points in the plane (Bonneel et al., 2015).

In one dimension optimal transport joins the k-th point to the k-th: so both sets are projected on a line,
sorted and compared, and the squares are averaged over lines of evenly spaced directions.
"""

import math

import torch
from torch import Tensor

DIRECTIONS = 64


def sliced_wasserstein(one: Tensor, other: Tensor, *, directions: int = DIRECTIONS) -> float:
    """The distance of order 2 between equally many points, (n, 2) both; 0 for the same set in any order.

    Raises:
        ValueError: the sets differ in size, or are not of the plane.
    """
    if one.shape != other.shape or one.shape[1:] != (2,):
        raise ValueError(f"the sets are {tuple(one.shape)} and {tuple(other.shape)}; give two of one (n, 2)")
    angles = math.pi * torch.arange(directions, dtype=torch.float64) / directions
    lines = torch.stack([angles.cos(), angles.sin()])  # (2, directions)
    sorted_one, sorted_other = ((points.double() @ lines).sort(dim=0).values for points in (one, other))
    return float((sorted_one - sorted_other).square().mean().sqrt())
