"""The sliced Wasserstein distance where it is known."""

import math

import pytest
import torch

from sd3demo.flow.sliced_wasserstein import sliced_wasserstein

POINTS = torch.randn((500, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_set_is_no_distance_from_itself_in_another_order() -> None:
    assert sliced_wasserstein(POINTS, POINTS.flip(0)) == 0


def test_a_shift_is_seen_by_its_share_along_each_line() -> None:
    """The mean of (c . u)^2 over directions u is |c|^2 / 2."""
    shift = torch.tensor([3.0, -4.0], dtype=torch.float64)
    assert sliced_wasserstein(POINTS + shift, POINTS) == pytest.approx(5 / math.sqrt(2))
    assert sliced_wasserstein(POINTS, POINTS + shift) == pytest.approx(5 / math.sqrt(2))


def test_twice_as_wide_is_as_far_as_the_set_is_wide_along_a_line() -> None:
    spread = POINTS.square().sum(1).mean().sqrt() / math.sqrt(2)
    assert sliced_wasserstein(2 * POINTS, POINTS) == pytest.approx(float(spread))


@pytest.mark.parametrize("other", [POINTS[:10], torch.zeros(500, 3)])
def test_sets_that_cannot_be_joined_are_refused(other: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="give two of one"):
        sliced_wasserstein(POINTS, other)
