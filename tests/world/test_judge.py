"""The judge reads rendered truth back at every size, and does not pass what is wrong."""

import random
from dataclasses import replace

import pytest
import torch

from sd3demo.world.exam import CATEGORIES, Exam, Item, exams, mark, truth
from sd3demo.world.judge import read
from sd3demo.world.render import render
from sd3demo.world.scenes import MIX, Scene, Thing, arrange, draw, write
from sd3demo.world.vocabulary import COLOURS, LETTERS, SHAPES


def _agrees(scene: Scene, picture: torch.Tensor) -> bool:
    reading = read(picture)
    if reading.background != scene.background:
        return False
    if scene.lettering:
        same_ink = all(found.colour == scene.lettering.colour for found in reading.components)
        return reading.text == scene.lettering.text and same_ink
    looks = sorted((t.shape, t.colour, t.texture) for t in scene.things)
    return looks == sorted((f.shape, f.colour, f.texture) for f in reading.components if f.is_shape)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128, 256])
def test_rendered_truth_is_read_back_at_least_99_times_in_100(size: int) -> None:
    rng = random.Random(11)
    scenes = [draw(rng) for _ in range(300)]
    right = sum(
        _agrees(scene, picture)
        for start in range(0, len(scenes), 50)
        for scene, picture in zip(
            scenes[start : start + 50], render(scenes[start : start + 50], size), strict=True
        )
    )
    assert right >= 0.99 * len(scenes)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_lone_shape_is_itself_and_no_other_is_near_it(shape: str, size: int) -> None:
    scene = Scene("white", ((Thing(shape, "blue", "solid", 0.5, 0.45, 0.25),),))
    [found] = read(render([scene], size)[0]).components
    assert (found.shape, found.colour, found.is_shape) == (shape, "blue", True)
    assert (found.x, found.y) == pytest.approx((0.5, 0.45), abs=0.05)


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("letter", LETTERS)
def test_each_letter_is_read(letter: str, size: int) -> None:
    picture = render([write(random.Random(3), letter + letter, background="gray", colour="white")], size)[0]
    assert read(picture).text == letter + letter


@pytest.mark.parametrize("colour", [name for name in COLOURS if name not in ("white",)])
def test_each_colour_is_named(colour: str) -> None:
    ground = "white" if colour != "yellow" else "navy"
    scene = arrange(random.Random(5), counts=(1,), background=ground, colours=(colour,))
    assert {found.colour for found in read(render([scene], 64)[0]).components} == {colour}


def test_noise_and_flat_pictures_show_no_shape() -> None:
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not any(found.is_shape for found in read(noise).components)
    assert read(torch.full((3, 64, 64), 0.5)).components == ()


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_true_picture_passes_its_exam(category: str) -> None:
    rng = random.Random(category)
    asked = exams(category, 40, seed=7)
    scenes = [truth(exam, rng) for exam in asked]
    passed = [
        mark(exam, read(picture)).passed for exam, picture in zip(asked, render(scenes, 64), strict=True)
    ]
    assert sum(passed) >= 39


@pytest.mark.parametrize("category", CATEGORIES)
def test_another_exams_picture_hardly_ever_passes(category: str) -> None:
    rng = random.Random(category)
    asked = exams(category, 40, seed=7)
    pictures = render([draw(rng, MIX) for _ in asked], 64)
    passed = [mark(exam, read(picture)).passed for exam, picture in zip(asked, pictures, strict=True)]
    assert sum(passed) <= 8


def test_each_part_of_a_claim_can_fail_it() -> None:
    red, blue = (
        Thing("circle", "red", "solid", 0.3, 0.5, 0.16),
        Thing("square", "blue", "solid", 0.7, 0.5, 0.16),
    )
    items = (Item(1, "circle", "red"), Item(1, "square", "blue"))
    exam = Exam("position", "", items, relation="left of", background="white")
    pictures = {
        "right": Scene("white", ((red,), (blue,))),
        "background": Scene("beige", ((red,), (blue,))),
        "colour": Scene("white", ((replace(red, colour="green"),), (blue,))),
        "shape": Scene("white", ((replace(red, shape="star"),), (blue,))),
        "count": Scene("white", ((red,), (blue, replace(blue, y=0.15, r=0.1)))),
        "relation": Scene("white", ((replace(red, x=0.7),), (replace(blue, x=0.3),))),
    }
    passed = {name: mark(exam, read(render([scene], 64)[0])).passed for name, scene in pictures.items()}
    assert passed == {name: name == "right" for name in pictures}


def test_a_misspelt_word_fails_and_counts_its_right_letters() -> None:
    exam = Exam("typography", "", text="CAT", text_colour="red")
    wrong = write(random.Random(0), "CAR", background="white", colour="red")
    result = mark(exam, read(render([wrong], 64)[0]))
    assert not result.passed
    assert result.parts["letters"] == pytest.approx(2 / 3)


def test_exams_are_the_same_for_one_seed_and_others_for_another() -> None:
    assert exams("position", 20, seed=1) == exams("position", 20, seed=1)
    assert exams("position", 20, seed=1) != exams("position", 20, seed=2)
