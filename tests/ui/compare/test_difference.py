"""The difference map: nothing for equal pictures, all of it for opposite ones, the same both ways round."""

import numpy as np
import pytest

from sd3demo.engine.events import Pixels
from sd3demo.ui.compare.difference import LARGEST_SIDE, compared, difference_sentence


def noise(height: int = 12, width: int = 16, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_equal_pictures_differ_nowhere() -> None:
    found = compared(noise(), noise())
    assert not found.pixels.any()
    assert (found.largest, found.mean, found.share, found.noticed) == (0, 0, 0, 0)
    assert difference_sentence(found) == "The two pictures are equal: no pixel differs."


def test_the_map_is_the_same_both_ways_round() -> None:
    one, other = compared(noise(), noise(seed=1)), compared(noise(seed=1), noise())
    assert np.array_equal(one.pixels, other.pixels)
    assert (one.largest, one.mean, one.share) == (other.largest, other.mean, other.share)


def test_black_and_white_differ_by_all_there_is() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    found = compared(black, white)
    assert (found.pixels == 255).all()
    assert (found.largest, found.share, found.noticed) == (255, 1, 1)


def test_one_pixel_stands_out_where_it_is() -> None:
    one = np.zeros((10, 20, 3), np.uint8)
    other = one.copy()
    other[3, 7, 1] = 51
    found = compared(one, other)
    assert np.argwhere(found.pixels[..., 0]).tolist() == [[3, 7]]
    assert (found.largest, found.share, found.noticed) == (51, 1 / 200, 1 / 200)
    assert difference_sentence(found) == (
        "less than 1% of the pixels differ by more than 8 of 255 levels; the largest difference, "
        "shown white, is 51."
    )


def test_a_picture_and_its_pixels_enlarged_are_equal() -> None:
    small = noise()
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    assert compared(small, large).largest == 0
    assert compared(large, small).pixels.shape == large.shape


def test_large_pictures_are_compared_at_a_bounded_size() -> None:
    one = np.zeros((3, 3 * LARGEST_SIDE, 3), np.uint8)
    assert max(compared(one, one).pixels.shape) <= LARGEST_SIDE


def test_other_shapes_have_no_map() -> None:
    with pytest.raises(ValueError, match="no difference map"):
        compared(noise(8, 16), noise(16, 8))
