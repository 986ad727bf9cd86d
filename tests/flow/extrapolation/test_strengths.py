"""Strengths by name and as curves of t."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sd3demo.flow.extrapolation.strengths import STRENGTHS, STRONGEST, curve, strength_of

NUMBERS = st.floats(0, 1, allow_subnormal=False)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_name_is_its_schedule(name: str) -> None:
    assert strength_of(name) is STRENGTHS[name]


@given(st.lists(st.tuples(NUMBERS, st.floats(0, STRONGEST)), min_size=1, unique_by=lambda point: point[0]))
def test_a_curve_goes_through_its_points_and_stays_between_them(points: list[tuple[float, float]]) -> None:
    strength = curve(",".join(f"{t!r}:{alpha!r}" for t, alpha in points))
    for t, alpha in points:
        assert strength(t, 3, 10) == (0, pytest.approx(alpha, abs=1e-9))
    alphas = [alpha for _, alpha in points]
    for t in (0.0, 0.123, 0.5, 0.99, 1.0):
        full, low = strength(t, 0, 1)
        assert full == 0
        assert min(alphas) - 1e-9 <= low <= max(alphas) + 1e-9


def test_between_two_points_a_curve_is_straight_and_beyond_them_level() -> None:
    strength = strength_of("0.2:1, 0.6:0")
    assert [strength(t, 0, 1)[1] for t in (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)] == pytest.approx(
        [1, 1, 0.75, 0.5, 0, 0]
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("strong", "unknown strength 'strong'; choose one of paper, release"),
        ("1:2:3", "'1:2:3' is no point t:alpha"),
        ("1:a", "is no point"),
        ("2:1", r"t must lie in \[0, 1\]"),
        ("1:3", r"alpha in \[0, 2\]"),
        ("0:nan", r"alpha in \[0, 2\]"),
        ("0.5:1,0.5:0", "gives a time twice"),
    ],
)
def test_what_is_no_strength_is_refused_with_what_is(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        strength_of(text)
