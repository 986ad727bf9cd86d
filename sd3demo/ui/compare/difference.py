"""What differs between two pictures of one shape, at whatever sizes they have, as a map and in words."""

import numpy as np
from PIL import Image

from sd3demo.engine.events import Pixels
from sd3demo.plots.difference_map import NOTICED, DifferenceMap, difference_map

LARGEST_SIDE = 1024  # pixels: larger pictures are averaged down before they are compared


def are_of_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have one ratio, so that the pictures can lie on one another."""
    return one[0] * other[1] == other[0] * one[1]


def compared(one: Pixels, other: Pixels) -> DifferenceMap:
    """Compare two pictures (H, W, 3) of one shape; the smaller one is enlarged pixel by pixel.

    Raises ValueError for two of different shapes.
    """
    if not are_of_one_shape(one.shape[1::-1], other.shape[1::-1]):
        raise ValueError(f"pictures of {one.shape[:2]} and {other.shape[:2]} pixels have no difference map")
    one, other = (_reduced(each) for each in (one, other))
    size = max(one.shape[1::-1], other.shape[1::-1])
    return difference_map(_at_size(one, size), _at_size(other, size))


def difference_sentence(found: DifferenceMap) -> str:
    """Return what the map shows, in a sentence."""
    if not found.largest:
        return "The two pictures are equal: no pixel differs."
    share = "less than 1%" if 0 < found.noticed < 0.01 else f"{found.noticed:.0%}"
    return (
        f"{share} of the pixels differ by more than {NOTICED} of 255 levels; the largest difference, shown "
        f"white, is {found.largest}."
    )


def _reduced(pixels: Pixels) -> Pixels:
    factor = -(-max(pixels.shape[:2]) // LARGEST_SIDE)
    return pixels if factor == 1 else np.asarray(Image.fromarray(pixels).reduce(factor))


def _at_size(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
