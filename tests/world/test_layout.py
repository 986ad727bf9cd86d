"""Things stand apart, inside, each near the middle of its cell, and a number of them is a pattern."""

import math
import random
from itertools import pairwise

import pytest

from sd3demo.world.captions import Detail, caption, place, size
from sd3demo.world.layout import (
    GAP,
    LARGE_FROM,
    MARGIN,
    RADII,
    SMALL_BELOW,
    Disc,
    across,
    alone,
    beside,
    together,
)
from sd3demo.world.scenes import arrange, draw
from sd3demo.world.vocabulary import RELATIONS

COUNTS = [(a, b) for a in range(1, 5) for b in range(1, 5) if a + b <= 5]
ROUNDING = 1e-9
PLACE_WORDS = {"left", "right", "top", "bottom", "above", "below", "over", "under", "center", "middle"}


def _apart(discs: list[Disc]) -> None:
    for k, (x, y, r) in enumerate(discs):
        assert min(x, y, 1 - x, 1 - y) - r >= MARGIN - ROUNDING
        assert all(math.dist((x, y), (a, b)) >= r + q + GAP - ROUNDING for a, b, q in discs[:k])


def _within(discs: list[Disc], count: int) -> None:
    low, high = RADII[count]
    assert all(low - ROUNDING <= r <= high + ROUNDING for _, _, r in discs)


def _rows(values: list[float]) -> list[int]:
    """How many lie together, from the least to the greatest, where a step of 0.17 parts two."""
    sizes, ordered = [1], sorted(values)
    for one, other in pairwise(ordered):
        sizes = [*sizes, 1] if other - one > 0.17 else [*sizes[:-1], sizes[-1] + 1]
    return sizes


@pytest.mark.parametrize("count", range(2, 6))
def test_a_group_stands_apart_and_inside(count: int) -> None:
    rng = random.Random(count)
    for _ in range(300):
        discs = together(rng, count)
        assert len(discs) == count
        assert len({r for _, _, r in discs}) == 1
        _apart(discs)
        _within(discs, count)


@pytest.mark.parametrize(
    ("count", "axis", "pattern"), [(2, 0, [1, 1]), (3, 1, [1, 2]), (4, 0, [2, 2]), (4, 1, [2, 2])]
)
def test_a_number_of_things_is_a_pattern(count: int, axis: int, pattern: list[int]) -> None:
    """Two side by side, three as one over two, four as a square."""
    rng = random.Random(0)
    for _ in range(200):
        assert _rows([disc[axis] for disc in together(rng, count)]) == pattern


def test_five_stand_as_on_a_die() -> None:
    rng = random.Random(0)
    for _ in range(200):
        discs = together(rng, 5)
        middle = min(discs, key=lambda disc: math.dist(disc[:2], (0.5, 0.5)))
        corners = {(x > middle[0], y > middle[1]) for x, y, _ in discs if (x, y) != middle[:2]}
        assert len(corners) == 4


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("counts", COUNTS)
def test_two_groups_stand_in_their_relation_with_room_between(counts: tuple[int, int], relation: str) -> None:
    rng = random.Random(1)
    axis = 0 if relation in ("left of", "right of") else 1
    for _ in range(50):
        one, two = beside(rng, counts, relation)
        assert (len(one), len(two)) == counts
        _apart([*one, *two])
        _within([*one, *two], sum(counts))
        near, far = (one, two) if relation in ("left of", "above") else (two, one)
        assert max(d[axis] + d[2] for d in near) + GAP <= min(d[axis] - d[2] for d in far) + ROUNDING


def test_opposite_corners_are_told_apart_by_their_places() -> None:
    rng = random.Random(2)
    seen = set()
    for _ in range(200):
        [[first], [second]] = across(rng)
        _apart([first, second])
        assert first[0] < second[0]
        seen.add((place(*first[:2]), place(*second[:2])))
    assert seen == {("top left", "bottom right"), ("bottom left", "top right")}


def test_a_lone_thing_is_middling_and_in_the_middle_half_of_the_time_and_in_nine_places_in_all() -> None:
    rng = random.Random(3)
    discs = [alone(rng) for _ in range(2000)]
    for disc in discs:
        _apart([disc])
        _within([disc], 1)
    places = [place(x, y) for x, y, _ in discs]
    assert len(set(places)) == 9
    middling = sum(SMALL_BELOW <= r < LARGE_FROM for _, _, r in discs) / len(discs)
    assert 0.45 < middling < 0.55
    assert 0.45 < places.count("center") / len(places) < 0.55  # four standard errors about a half


@pytest.mark.parametrize("detail", ["short", "detailed"])
def test_what_is_not_said_of_place_and_size_goes_without_saying(detail: Detail) -> None:
    """A lone thing whose place or size is not told is in the middle and middling; two in no relation whose
    places are not told stand side by side."""
    rng = random.Random(4)
    untold = 0
    for _ in range(600):
        scene = draw(rng, {"single": 1, "two": 1, "pair": 1})
        words = set(caption(rng, scene, detail).replace(",", " ").split())
        placed = words & PLACE_WORDS
        spots = [place(thing.x, thing.y) for thing in scene.things]
        if len(spots) == 1:
            assert (size(scene.things[0]) or "middling") in {"middling", *words}
        if not placed:
            untold += 1
            assert spots == ["center"] or sorted(spots) == ["left", "right"]
    assert untold > 50 or detail == "detailed"


def test_groups_one_over_the_other_are_always_said_to_be() -> None:
    rng = random.Random(6)
    for _ in range(300):
        scene = draw(rng, {"groups": 1})
        if scene.relation in ("above", "below"):
            assert PLACE_WORDS & set(caption(rng, scene, "short").split())


def test_things_in_no_relation_are_drawn_from_left_to_right() -> None:
    rng = random.Random(5)
    for counts in COUNTS:
        for _ in range(20):
            one, two = arrange(rng, counts=counts).groups
            assert max(thing.x for thing in one) < min(thing.x for thing in two)
