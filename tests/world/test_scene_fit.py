"""The scene that a picture shows is found again to a fraction of a pixel, and drawn at another size."""

import random

import numpy as np
import pytest

from sd3demo.world.exam import CATEGORIES, exams, truth
from sd3demo.world.scene_fit import drawn, fitted_scene, misfit
from sd3demo.world.scenes import Scene, Thing
from sd3demo.world.vocabulary import SHAPES

SIDE, LARGE = 64, 256


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thing_is_found_to_a_fraction_of_a_pixel(shape: str) -> None:
    thing = Thing(shape, "red", "solid", 0.43, 0.57, 0.21)
    found = fitted_scene(drawn(Scene("white", ((thing,),)), SIDE))
    assert found is not None
    (again,) = found.things
    assert (again.shape, again.colour, again.texture) == (shape, "red", "solid")
    assert [again.x, again.y, again.r] == pytest.approx([thing.x, thing.y, thing.r], abs=0.15 / SIDE)


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_scene_of_a_small_picture_is_the_one_that_is_drawn_large(category: str) -> None:
    (exam,) = exams(category, 1)
    scene = truth(exam, random.Random(3))
    found = fitted_scene(drawn(scene, SIDE))
    assert found is not None
    assert misfit(found, drawn(scene, LARGE)) < 0.06


def test_a_picture_of_something_else_has_no_scene() -> None:
    noise = np.random.default_rng(0).random((SIDE, SIDE, 3))
    assert fitted_scene(noise) is None
    assert fitted_scene(np.ones((SIDE, SIDE, 3))) is None
    assert fitted_scene(np.ones((SIDE, 2 * SIDE, 3))) is None
