"""The map of what differs between two pictures, and the figures that go with it. Pure."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sd3demo.engine.events import Pixels

NOTICED = 8  # levels of 255: a smaller difference is hardly seen
LARGEST_SIDE = 1024  # pixels: larger pictures are averaged down before they are compared


@dataclass(frozen=True, eq=False)
class DifferenceMap:
    """Where two pictures differ: `pixels` is the largest difference of the channels, `gain` times as bright.

    `largest` is in levels of 255; `share` is that of the pixels that differ by more than NOTICED levels.
    """

    pixels: Pixels
    largest: int
    mean: float
    share: float
    gain: float


def are_of_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have one ratio, so that the pictures can lie on one another."""
    return one[0] * other[1] == other[0] * one[1]


def difference_map(one: Pixels, other: Pixels) -> DifferenceMap:
    """Compare two pictures (H, W, 3) of one shape; the smaller one is enlarged pixel by pixel.

    Raises ValueError for two of different shapes.
    """
    if not are_of_one_shape(one.shape[1::-1], other.shape[1::-1]):
        raise ValueError(f"pictures of {one.shape[:2]} and {other.shape[:2]} pixels have no difference map")
    one, other = (_reduced(each) for each in (one, other))
    size = max(one.shape[1::-1], other.shape[1::-1])
    first, second = (_at_size(each, size).astype(np.int16) for each in (one, other))
    levels = np.abs(first - second).max(axis=2)
    largest = int(levels.max())
    gain = 255 / largest if largest else 1.0
    bright = np.repeat((levels * gain).round().astype(np.uint8)[:, :, None], 3, axis=2)
    return DifferenceMap(bright, largest, float(levels.mean()), float((levels > NOTICED).mean()), gain)


def difference_sentence(found: DifferenceMap) -> str:
    """Return what the map shows, in a sentence."""
    if not found.largest:
        return "The two pictures are equal: no pixel differs."
    bright = f", shown {found.gain:.0f} times as bright" if found.gain >= 1.5 else ""
    share = "less than 1%" if 0 < found.share < 0.01 else f"{found.share:.0%}"
    return (
        f"{share} of the pixels differ by more than {NOTICED} of 255 levels; the largest difference is "
        f"{found.largest}{bright}."
    )


def _reduced(pixels: Pixels) -> Pixels:
    factor = -(-max(pixels.shape[:2]) // LARGEST_SIDE)
    return pixels if factor == 1 else np.asarray(Image.fromarray(pixels).reduce(factor))


def _at_size(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
