"""The difference map: nothing of equal pictures, white where two differ most, brighter for more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sd3demo.plots.difference_map import COLOURS, difference_map

LUMINANCE = np.array((0.2126, 0.7152, 0.0722))


def picture(seed: int, height: int = 6, width: int = 9) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@given(st.integers(0, 2**31))
def test_equal_pictures_give_zero(seed: int) -> None:
    found = difference_map(picture(seed), picture(seed))
    assert not found.pixels.any()
    assert (found.largest, found.mean, found.share) == (0, 0, 0)


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_the_order_of_the_pictures_does_not_matter(first: int, second: int) -> None:
    one, other = (difference_map(picture(a), picture(b)) for a, b in ((first, second), (second, first)))
    assert np.array_equal(one.pixels, other.pixels)
    assert (one.largest, one.mean, one.share) == (other.largest, other.mean, other.share)


def test_one_pixel_that_differs_is_white_and_the_rest_is_black() -> None:
    first = picture(0)
    second = first.copy()
    second[2, 3, 1] ^= 1  # one level, of one channel
    found = difference_map(first, second)
    assert found.largest == 1
    assert found.mean == found.share == pytest.approx(1 / 54)
    assert found.pixels[2, 3].tolist() == [255, 255, 255]
    assert np.count_nonzero(found.pixels.any(axis=2)) == 1


def test_a_larger_difference_is_brighter_though_no_eye_saw_colours() -> None:
    first = np.zeros((1, 256, 3), np.uint8)
    second = first.copy()
    second[0, :, 2] = np.arange(256)
    light = difference_map(first, second).pixels[0] @ LUMINANCE
    assert light[0] == 0
    assert (np.diff(light) >= 0).all()
    assert (np.diff(COLOURS @ LUMINANCE) > 30).all()


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="9 x 6 and 8 x 6 pixels; give two of one size"):
        difference_map(picture(0), picture(0, width=8))
