"""Scenes keep their promises, captions tell the truth about them, and pictures are exact at every size."""

import math
import random

import pytest
import torch
from torch.nn import functional

from sd3demo.world.captions import HELD_OUT_FRAMES, Detail, caption, place
from sd3demo.world.letters import SEGMENTS, WIDTH
from sd3demo.world.render import covers, render
from sd3demo.world.scenes import KINDS, MIX, Scene, Thing, draw
from sd3demo.world.shapes import DISTANCES
from sd3demo.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    CONTRAST,
    COUNTS,
    HELD_OUT_WORDS,
    LETTERS,
    SHAPES,
    TRAINED_WORDS,
    distance,
    plural,
)


def _scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = random.Random(seed)
    return [draw(rng) for _ in range(count)]


def test_the_mix_names_every_kind_and_sums_to_one() -> None:
    assert set(MIX) == set(KINDS)
    assert math.isclose(sum(MIX.values()), 1)


def test_another_mix_draws_its_kinds_by_their_weights_and_no_other() -> None:
    rng = random.Random(1)
    drawn = [draw(rng, {"single": 3, "two": 1}) for _ in range(400)]
    assert all(scene.lettering is None and scene.relation is None for scene in drawn)
    alone = sum(len(scene.things) == 1 for scene in drawn) / len(drawn)
    assert 0.66 < alone < 0.84  # four standard errors about 3/4


def test_things_lie_inside_and_apart() -> None:
    for scene in _scenes(2000):
        for k, thing in enumerate(scene.things):
            assert thing.r <= thing.x <= 1 - thing.r
            assert thing.r <= thing.y <= 1 - thing.r
            assert all(math.dist((thing.x, thing.y), (o.x, o.y)) > thing.r + o.r for o in scene.things[:k])


def test_groups_stand_in_the_relation_that_is_told() -> None:
    told = [scene for scene in _scenes(3000) if scene.relation]
    assert len(told) > 500
    for scene in told:
        one, two = scene.groups
        axis = "x" if scene.relation in ("left of", "right of") else "y"
        near, far = (one, two) if scene.relation in ("left of", "above") else (two, one)
        assert max(getattr(t, axis) for t in near) < min(getattr(t, axis) for t in far)


def test_everything_can_be_told_from_its_background() -> None:
    for scene in _scenes(1000):
        ground = BACKGROUNDS[scene.background]
        inks = {t.colour for t in scene.things} | ({scene.lettering.colour} if scene.lettering else set())
        assert all(distance(COLOURS[ink], ground) >= CONTRAST for ink in inks)


def test_words_are_held_out() -> None:
    written = {scene.lettering.text for scene in _scenes(20_000) if scene.lettering}
    assert not written & set(HELD_OUT_WORDS)
    assert not set(TRAINED_WORDS) & set(HELD_OUT_WORDS)
    assert len(written & set(TRAINED_WORDS)) > 100


def test_words_lie_inside_and_a_place_that_is_told_is_one_place() -> None:
    written = [scene.lettering for scene in _scenes(4000) if scene.lettering]
    for word in written:
        left, top = word.x - len(word.text) * word.height / 2, word.y - word.height / 2
        assert 0 <= left <= 1 - len(word.text) * word.height
        assert 0 < top < 1 - word.height
    assert all(abs(8 * word.x - round(8 * word.x)) < 1e-9 for word in written)  # whole patches
    told = {(len(word.text), place(word.x, word.y), word.x, word.y) for word in written}
    assert len(told) == len({spot[:2] for spot in told}) == 9 + 9 + 3


@pytest.mark.parametrize("detail", ["short", "detailed"])
def test_a_word_whose_place_is_not_told_is_in_the_middle(detail: Detail) -> None:
    rng = random.Random(3)
    told = {True: 0, False: 0}
    for _ in range(400):
        scene = draw(rng, {"word": 1})
        word = scene.lettering
        assert word is not None
        said = caption(rng, scene, detail).split('"')[-1].replace(",", " ").split()
        has_place = any(name in said for name in ("left", "right", "top", "bottom", "center", "middle"))
        told[has_place] += 1
        assert has_place or place(word.x, word.y) == "center"
    assert min(told.values()) > 50


def test_captions_say_nothing_false_and_never_a_held_out_frame() -> None:
    rng = random.Random(2)
    for scene in _scenes(3000, seed=2):
        words = caption(rng, scene).replace('"', " ").replace(",", " ").split()
        shapes = {thing.shape for thing in scene.things}
        assert {w for w in words if w in SHAPES or w in map(plural, SHAPES)} <= shapes | set(
            map(plural, shapes)
        )
        true = {t.colour for t in scene.things} | {scene.background, "grey"}
        if scene.lettering:
            true |= {scene.lettering.colour}
            words = [word for word in words if word.upper() != scene.lettering.text]
        assert {word for word in words if word in COLOURS} <= true
        for word in words:
            if word in COUNTS[1:]:
                assert COUNTS.index(word) + 1 in {len(group) for group in scene.groups}
        assert not any(" ".join(words).startswith(frame.split(" {")[0]) for frame in HELD_OUT_FRAMES)


@pytest.mark.parametrize("detail", ["short", "detailed"])
def test_things_in_no_relation_are_named_from_left_to_right(detail: Detail) -> None:
    rng = random.Random(4)
    for _ in range(200):
        scene = draw(rng, {"two": 1, "groups": 1})
        (one, two) = sorted(scene.groups, key=lambda group: sum(t.x for t in group) / len(group))
        words = caption(rng, scene, detail).replace(",", " ").split()
        named = [word for word in words if word in SHAPES or word in map(plural, SHAPES)]
        if scene.relation is None and one[0].shape != two[0].shape:
            shapes = [g[0].shape if len(g) == 1 else plural(g[0].shape) for g in (one, two)]
            assert named == shapes, caption(rng, scene, detail)


def test_detailed_captions_say_more_than_short_ones() -> None:
    rng = random.Random(0)
    scenes = _scenes(500)
    short, detailed = (
        sum(len(caption(rng, scene, detail).split()) for scene in scenes) for detail in ("short", "detailed")
    )
    assert detailed > 1.3 * short


@pytest.mark.parametrize("size", [128, 256])
def test_a_larger_picture_is_the_same_scene(size: int) -> None:
    scenes = _scenes(40)
    shrunk = functional.avg_pool2d(render(scenes, size), size // 64)
    assert (shrunk - render(scenes, 64)).abs().mean() < 0.004


def test_a_window_is_the_whole_pictures_part_of_it() -> None:
    scenes = _scenes(12)
    origins = torch.tensor([[8, 40]] * 12)
    window = render(scenes, 128, window=32, origins=origins)
    assert torch.allclose(window, render(scenes, 128)[:, :, 40:72, 8:40], atol=1e-5)


def test_covers_are_where_the_picture_differs_from_its_background() -> None:
    scenes = _scenes(30)
    seen = torch.zeros(30, 64, 64)
    for index, _, _, cover in covers(scenes, 64):
        seen.index_add_(0, index, cover)
    grounds = torch.tensor([BACKGROUNDS[scene.background] for scene in scenes])[:, :, None, None]
    differs = (render(scenes, 64) - grounds).abs().sum(1) > 1e-4
    assert torch.equal(differs, seen > 1e-4) or (differs != (seen > 1e-4)).float().mean() < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_fits_its_box_and_its_distance_is_one(shape: str) -> None:
    """Nothing is inside beyond one radius along x or y; |grad d| is 1 nearly everywhere, as for a
    distance."""
    axis = torch.linspace(-1.2, 1.2, 241, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    d = DISTANCES[shape](x, y)
    assert not (d[torch.maximum(x.abs(), y.abs()) > 1.001] < 0).any()
    assert (d < 0).any()
    gy, gx = torch.gradient(d, spacing=(axis, axis))
    near = d.abs() < 0.05
    assert (torch.hypot(gx, gy)[near] - 1).abs().median() < 0.02


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_stays_in_its_cell(letter: str) -> None:
    ends = SEGMENTS[letter].reshape(-1, 2)
    assert ends.min() >= 0
    assert ends[:, 0].max() <= WIDTH
    assert ends[:, 1].max() <= 1


def test_one_scene_is_one_picture() -> None:
    scene = Scene("black", ((Thing("heart", "pink", "dotted", 0.5, 0.5, 0.3),),))
    assert torch.equal(render([scene], 64), render([scene], 64))
