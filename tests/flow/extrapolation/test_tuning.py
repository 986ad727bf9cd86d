"""The toolkit's numbers: what is neutral, how positions spread, and where patches move."""

import itertools
import math

import pytest

from sd3demo.flow.extrapolation.tuning import ATTENTION, NEUTRAL, POSITIONS, VARYING, Toolkit, attention_scale
from sd3demo.flow.solvers import At

TIMES = (1.0, 0.75, 0.5, 0.0)
RANKS = (0.0, 0.3, 1.0)


def test_a_network_at_its_own_size_is_left_alone() -> None:
    assert NEUTRAL.neutral
    assert all(attention_scale(policy, 300, 300, 1.0) == 1 for policy in ATTENTION)


@pytest.mark.parametrize(
    "turned",
    [
        Toolkit(positions="interpolate"),
        Toolkit(attention_scale=1.1),
        Toolkit(text_copies=4),
        Toolkit(half_patch=True),
    ],
)
def test_whatever_is_turned_is_not_neutral(turned: Toolkit) -> None:
    assert not turned.neutral


def test_the_releases_attention_scale_is_the_published_one() -> None:
    """1.08 at twice and 1.15 at four times the side of Flux's 1024 px, with its 512 text tokens."""
    native = 4096 + 512
    assert attention_scale("log", native, 16384 + 512, 2) == pytest.approx(1.075, abs=0.005)
    assert attention_scale("log", native, 65536 + 512, 4) == pytest.approx(1.147, abs=0.005)
    assert attention_scale("log", native, 65536, 4) == math.sqrt(math.log(65536, native))


def test_the_papers_attention_scale_is_the_scale_itself() -> None:
    assert attention_scale("paper", 100, 400, 2.0) == 2
    assert attention_scale("off", 100, 400, 2.0) == 1


@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("t", TIMES)
def test_spacings_lie_between_the_tables_own_and_the_interpolated_one(name: str, t: float) -> None:
    assert all(0 <= POSITIONS[name](t, rank) <= 1 for rank in RANKS)


@pytest.mark.parametrize("name", POSITIONS)
def test_the_policies_that_are_said_to_vary_with_t_are_those_that_do(name: str) -> None:
    found = {tuple(POSITIONS[name](t, rank) for rank in RANKS) for t in TIMES}
    assert (len(found) > 1) == (name in VARYING)


def test_positions_go_from_interpolated_at_noise_to_the_tables_own() -> None:
    assert POSITIONS["scheduled"](1.0, 0.3) == 1
    assert POSITIONS["scheduled"](0.0, 0.3) == 0
    assert POSITIONS["per-frequency"](0.7, 0.0) == 0
    assert POSITIONS["per-frequency"](0.7, 1.0) == 1
    assert [POSITIONS["time-aware"](t, 0.4) for t in (1.0, 0.71, 0.69, 0.0)] == [1, 1, 0.4, 0.4]


@pytest.mark.parametrize("count", [1, 2, 7, 28])
def test_patches_move_at_every_second_step_and_never_at_the_last(count: int) -> None:
    moved = [Toolkit(half_patch=True).shifted(At(0.5, index, count)) for index in range(count)]
    assert not moved[-1]
    assert all(before != after for before, after in itertools.pairwise(moved))
    assert not any(NEUTRAL.shifted(At(0.5, index, count)) for index in range(count))
