"""The verdict reads every caption of the world, agrees with the exam, and is silent on all else."""

import random

import numpy as np
import pytest

from sd3demo.world.asked import AskedItem, AskedPicture, asked_of
from sd3demo.world.captions import caption
from sd3demo.world.exam import CATEGORIES, exams, mark, truth
from sd3demo.world.judge import read
from sd3demo.world.render import render
from sd3demo.world.scenes import Lettering, Scene, Thing, draw, write
from sd3demo.world.verdict import LARGEST_SIDE, PictureVerdict, picture_verdict, verdict_of

RED = Thing("circle", "red", "solid", 0.5, 0.27, 0.18)
BLUE = Thing("square", "blue", "solid", 0.5, 0.73, 0.18)
PROMPT = "a red circle above a blue square"


def shown(scene: Scene, side: int = 64) -> np.ndarray:
    picture = render([scene], side)[0].numpy().transpose(1, 2, 0)
    return (picture * 255).round().astype(np.uint8)


def said(verdict: PictureVerdict | None) -> list[tuple[str, bool, str]]:
    assert verdict is not None
    return [(check.asked, check.holds, check.found) for check in verdict.checks]


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        (PROMPT, AskedPicture((AskedItem(1, "circle", "red"), AskedItem(1, "square", "blue")), "above")),
        ("three green triangles", AskedPicture((AskedItem(3, "triangle", "green"),))),
        ("A picture of 2 rings, gray background.", AskedPicture((AskedItem(2, "ring"),), background="gray")),
        ("a star on grey", AskedPicture((AskedItem(1, "star"),), background="gray")),
        (
            "a large striped pink heart in the top left",
            AskedPicture((AskedItem(1, "heart", "pink", "striped", "top left"),), sizes=("large",)),
        ),
        (
            "a red star left and a blue ring right",
            AskedPicture(
                (AskedItem(1, "star", "red", place="left"), AskedItem(1, "ring", "blue", place="right"))
            ),
        ),
        (
            "a star to the left of a ring",
            AskedPicture((AskedItem(1, "star"), AskedItem(1, "ring")), "left of"),
        ),
        (
            "a red circle, a blue square and a green star",
            AskedPicture(
                (AskedItem(1, "circle", "red"), AskedItem(1, "square", "blue"), AskedItem(1, "star", "green"))
            ),
        ),
        ('the word "flow" in blue', AskedPicture(text="FLOW", colour="blue")),
        (
            "“CAT” written at the bottom on a navy background",
            AskedPicture(text="CAT", place="bottom", background="navy"),
        ),
        ('text that says "GO" in white', AskedPicture(text="GO", colour="white")),
    ],
)
def test_a_prompt_of_the_world_is_read(prompt: str, asked: AskedPicture) -> None:
    assert asked_of(prompt) == asked


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a cat wearing a hat",
        "three cats",
        "circles",
        "a red circle above",
        "a red circle and",
        "a red circle above a blue square and a star",
        "a red circle beside a blue square",
        "not a red circle",
        "a red blue circle",
        "a red circle on a red background",
        'the word "FLOW" above a star',
        'the word "FLOW" and "CAT"',
        'the word "ЖУК"',
        "ein roter Kreis",
        "a circle; a square",
    ],
)
def test_a_prompt_with_anything_else_in_it_has_no_verdict(prompt: str) -> None:
    assert asked_of(prompt) is None
    assert picture_verdict(prompt, np.zeros((64, 64, 3), np.uint8)) is None


def test_every_caption_of_the_world_is_read_and_its_own_picture_passes() -> None:
    rng = random.Random(3)
    scenes = [draw(rng) for _ in range(300)]
    captions = [caption(rng, scene) for scene in scenes]
    asked = [asked_of(each) for each in captions]
    assert [words for words, found in zip(captions, asked, strict=True) if found is None] == []
    passed = [
        verdict_of(found, read(picture)).passed  # type: ignore[arg-type]
        for found, picture in zip(asked, render(scenes, 64), strict=True)
    ]
    assert sum(passed) >= 0.98 * len(passed)


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_verdict_on_an_exam_is_the_exams_own_mark(category: str) -> None:
    rng = random.Random(category)
    asked = exams(category, 30, seed=5)
    true = render([truth(exam, rng) for exam in asked], 64)
    other = render([draw(rng) for _ in asked], 64)
    for exam, *pictures in zip(asked, true, other, strict=True):
        found = asked_of(exam.prompt)
        assert found is not None, exam.prompt
        for picture in pictures:
            reading = read(picture)
            assert verdict_of(found, reading).passed == mark(exam, reading).passed, exam.prompt


@pytest.mark.parametrize("side", [64, 128, 256, 2 * LARGEST_SIDE])
def test_what_is_there_and_what_is_not_is_said_at_every_size(side: int) -> None:
    right = Scene("white", ((RED,), (BLUE,)))
    assert said(picture_verdict(PROMPT, shown(right, side))) == [
        ("red circle", True, ""),
        ("blue square", True, ""),
        ("above", True, ""),
    ]
    star = Scene("white", ((RED,), (Thing("star", "blue", "solid", 0.5, 0.73, 0.2),)))
    assert said(picture_verdict(PROMPT, shown(star, side))) == [
        ("red circle", True, ""),
        ("blue square", False, "blue star"),
    ]
    below = Scene("white", ((Thing("circle", "red", "solid", 0.5, 0.73, 0.18),), (
        Thing("square", "blue", "solid", 0.5, 0.27, 0.18),
    )))  # fmt: skip
    assert said(picture_verdict(PROMPT, shown(below, side)))[2] == ("above", False, "")


def test_too_few_too_many_and_others_are_said() -> None:
    row = [Thing("star", "red", "solid", x, 0.3, 0.12) for x in (0.2, 0.5, 0.8)]
    three, two = Scene("white", (tuple(row),)), Scene("white", (tuple(row[:2]),))
    assert said(picture_verdict("two red stars", shown(three, 128))) == [("two red stars", False, "3")]
    assert said(picture_verdict("three red stars", shown(two, 128))) == [("three red stars", False, "2")]
    ring = Scene("white", (tuple(row), (Thing("ring", "blue", "solid", 0.5, 0.75, 0.15),)))
    assert said(picture_verdict("three red stars", shown(ring, 128))) == [
        ("three red stars", True, ""),
        ("nothing else", False, "blue ring"),
    ]
    empty = np.full((64, 64, 3), 255, np.uint8)
    assert said(picture_verdict("a red circle on white", empty)) == [
        ("red circle", False, ""),
        ("white background", True, ""),
    ]


def test_a_text_is_compared_letter_by_letter_and_by_colour() -> None:
    picture = shown(Scene("white", lettering=Lettering("CAT", "blue", 0.5, 0.5, 0.25)), 128)
    assert said(picture_verdict('the word "CAT" in blue', picture)) == [
        ("“CAT”", True, ""),
        ("in blue", True, ""),
    ]
    assert said(picture_verdict('the word "CAR" in red', picture)) == [
        ("“CAR”", False, "“CAT”"),
        ("in red", False, "blue"),
    ]


def test_a_size_is_named_as_not_judged() -> None:
    scene = Scene("white", ((Thing("circle", "red", "solid", 0.5, 0.5, 0.3),),))
    verdict = picture_verdict("a large red circle", shown(scene))
    assert verdict is not None
    assert (verdict.passed, verdict.unjudged) == (True, ("large",))


def test_a_word_at_a_place_is_judged_by_its_place() -> None:
    rng = random.Random(0)
    scene = write(rng, "GO", background="white", colour="black")
    for name, y in (("top", 0.25), ("bottom", 0.75)):
        moved = Scene("white", lettering=Lettering("GO", "black", 0.5, y, 0.25))
        assert picture_verdict(f'the word "GO" at the {name}', shown(moved, 128)).passed  # type: ignore[union-attr]
    assert scene.lettering is not None
