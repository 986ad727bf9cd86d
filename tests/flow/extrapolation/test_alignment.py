"""Bundles of positions (HRDiT, eq. 6): the figure's example, the mean over borders, none at scale 1."""

import math

import pytest

from sd3demo.flow.extrapolation.alignment import bundle, bundlings
from sd3demo.flow.extrapolation.tuning import Toolkit
from sd3demo.flow.solvers import At


def test_seven_places_in_bundles_of_three_are_the_figures() -> None:
    assert [bundle(p, 1, 3) for p in range(7)] == [0, 1, 1, 1, 2, 2, 2]
    assert [bundle(p, 2, 3) for p in range(7)] == [0, 0, 1, 1, 1, 2, 2]
    assert [bundle(p, 3, 3) for p in range(7)] == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_bundle_is_its_formula(size: int) -> None:
    for first in range(1, size + 1):
        for place in range(40):
            expected = 0 if place < first else math.ceil((place + 1 - first) / size)
            assert bundle(place, first, size) == expected


@pytest.mark.parametrize("size", [1, 2, 4])
def test_over_all_borders_a_patch_stands_where_it_is_interpolated(size: int) -> None:
    for place in range(40):
        assert sum(bundle(place, first, size) for first in range(1, size + 1)) == place


def test_borders_slide_along_one_side_at_a_time() -> None:
    found = bundlings((24, 16), (8, 8))
    assert {each.size for each in found} == {(3, 2)}
    assert [each.first for each in found] == [(3, 2), (1, 2), (2, 2), (3, 1)]


@pytest.mark.parametrize(("size", "count"), [((8, 8), 1), ((6, 4), 1), ((9, 8), 2), ((32, 32), 7)])
def test_there_is_one_bundling_up_to_the_native_size(size: tuple[int, int], count: int) -> None:
    assert len(bundlings(size, (8, 8))) == count
    assert len(bundlings(size, (0, 0))) == 1


def test_each_patch_is_a_bundle_of_its_own_at_the_native_size() -> None:
    (alone,) = bundlings((8, 8), (8, 8))
    assert alone.along(0, 8) == tuple(range(8))
    assert alone.along(1, 8, shifted=True) == tuple(place - 0.5 for place in range(9))


def test_bundles_stay_within_the_positions_of_training() -> None:
    for each in bundlings((64, 48), (16, 16)):
        for axis, count in enumerate((64, 48)):
            assert set(each.along(axis, count)) <= set(range(17))


def test_attention_is_averaged_in_the_first_steps_alone() -> None:
    toolkit = Toolkit(native=(16, 16), aligned_steps=3)
    counts = [len(toolkit.bundlings((16, 16), 2, At(0.5, index, 5))) for index in range(5)]
    assert counts == [3, 3, 3, 0, 0]
    assert toolkit.bundlings((8, 8), 2, At(1.0, 0, 5)) == ()
    assert not toolkit.neutral
