"""Where two pictures differ, as a picture: the largest difference of the three channels at each pixel.

Equal pixels are black and the largest difference of the two pictures is white, through dark red and orange,
so that brightness alone tells more from less, also to the colour-blind and in grey.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NOTICED = 8  # levels of 255: a smaller difference is hardly seen
Picture: TypeAlias = NDArray[np.uint8]  # (H, W, 3)
COLOURS = np.array(((0, 0, 0), (120, 20, 10), (235, 110, 15), (255, 255, 255)), dtype=float)
"""Of evenly spaced levels from none to the largest difference; their luminance rises."""


@dataclass(frozen=True, eq=False)
class DifferenceMap:
    """The map, (H, W, 3), and what it shows in numbers, in levels of 255.

    `share` is that of the pixels that differ at all, `noticed` of those that differ by more than NOTICED
    levels. Of equal pictures everything is zero.
    """

    pixels: Picture
    largest: int
    mean: float
    share: float
    noticed: float


def difference_map(first: Picture, second: Picture) -> DifferenceMap:
    """Return where two pictures of one size differ. Raises ValueError for pictures of different sizes."""
    if first.shape != second.shape:
        sizes = " and ".join(f"{each.shape[1]} x {each.shape[0]}" for each in (first, second))
        raise ValueError(f"the pictures have {sizes} pixels; give two of one size")
    levels = np.abs(first.astype(int) - second.astype(int)).max(axis=2)  # (H, W)
    largest = int(levels.max(initial=0))
    places = levels / max(largest, 1) * (len(COLOURS) - 1)
    known = np.arange(len(COLOURS))
    pixels = np.stack([np.interp(places, known, COLOURS[:, channel]) for channel in range(3)], axis=2)
    return DifferenceMap(
        pixels=pixels.round().astype(np.uint8),
        largest=largest,
        mean=float(levels.mean()) if levels.size else 0.0,
        share=float((levels > 0).mean()) if levels.size else 0.0,
        noticed=float((levels > NOTICED).mean()) if levels.size else 0.0,
    )
