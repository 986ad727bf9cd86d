"""What a model does not read is said by the plan, and by everything that comes of it."""

from dataclasses import replace

import pytest

from sd3demo.catalogue import CATALOGUE, find
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan.to_json import to_json
from sd3demo.engine.plan.unread import known_words, nearest_words, unknown_words, unread_lists
from sd3demo.settings import Request
from sd3demo.world.captions import caption
from sd3demo.world.exam import CATEGORIES, exams

TINY = find("tiny")
ENCODERS = {"clip_l", "clip_g", "t5"}


def unread(**settings: object) -> dict[str, list[str]]:
    return unread_lists(plan(Request.model_validate(settings), TINY, Budget()).unread)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_prompt_of_the_exam_is_read_whole(category: str) -> None:
    for exam in exams(category, 40, 0):
        assert unread(prompt=exam.prompt) == {}, exam.prompt


def test_unknown_words_are_named_for_each_encoder_that_runs() -> None:
    words = ["cat", "wearing", "hat"]
    assert unread(prompt="A cat wearing a hat") == dict.fromkeys(ENCODERS, words)
    assert unread(prompt="a cat wearing a hat", t5="zeros", clip_g="zeros") == {"clip_l": words}
    assert unread(prompt="a circle", prompt_3="a kitten") == {"t5": ["kitten"]}


def test_a_word_is_named_once_and_spelt_as_it_was_typed() -> None:
    assert unread(prompt="Cats and Cats on six")["t5"] == ["Cats", "six"]


@pytest.mark.parametrize("marks", ['"{}"', "“{}”", "'{}'", "‘{}’"])
def test_what_stands_in_quotation_marks_is_spelt(marks: str) -> None:
    assert unread(prompt=f"the word {marks.format('MYTH')} in blue") == {}


def test_the_negative_text_counts_where_guidance_is_on() -> None:
    assert unread(prompt="a circle", negative="ugly")["t5"] == ["ugly"]
    assert unread(prompt="a circle", negative="ugly", cfg=1) == {}


def test_text_beyond_the_limit_is_named_by_encoder() -> None:
    prompt = "a red circle " * 6 + "above a blue square"
    found = unread(prompt=prompt)
    assert set(found) == ENCODERS
    for texts in found.values():
        assert len(texts) == 1
        assert prompt.endswith(texts[0])
    notes = plan(Request(prompt=prompt), TINY, Budget()).notes
    assert any(note.startswith("T5 reads no further") for note in notes)


def test_a_word_beyond_the_limit_is_not_called_unknown() -> None:
    prompt = "a red circle " * 12 + "with a cat"
    assert all(texts[0] != "cat" for texts in unread(prompt=prompt).values())


def test_the_plan_says_what_the_model_draws_instead() -> None:
    made_plan = plan(Request(prompt="a cat"), TINY, Budget())
    assert made_plan.notes[0] == f"tiny does not know “cat”; it draws {TINY.draws}"
    assert to_json(made_plan)["unread"] == {name: ["cat"] for name in ENCODERS}


@pytest.mark.parametrize("name", [name for name, spec in CATALOGUE.items() if spec.hub])
def test_nothing_is_claimed_of_a_model_that_is_not_here(name: str) -> None:
    spec = replace(CATALOGUE[name], revision="0" * 40)
    assert plan(Request(prompt="a cat", model=name), spec, Budget()).unread == {}
    assert known_words(spec) is None


def test_what_the_model_draws_is_made_of_words_that_it_knows() -> None:
    known = known_words(TINY)
    assert known is not None
    prose = {"and", "ten", "colours", "one", "to", "five", "of", "a", "kind", "left", "right", "above", "or"}
    prose |= {"below", "each", "other", "word", "in", "quotation", "marks"}
    assert set(unknown_words(TINY.draws, known)) <= prose


def test_near_words_are_offered() -> None:
    known = known_words(TINY)
    assert known is not None
    assert nearest_words("Cirle", known)[0] == "circle"
    assert nearest_words("trianglular", known)[0] == "triangle"
    assert nearest_words("giraffe", known) == nearest_words("cat", known) == ()


def test_captions_of_the_world_are_read_whole() -> None:
    import random

    from sd3demo.world.scenes import MIX, draw

    rng = random.Random(3)
    for _ in range(200):
        text = caption(rng, draw(rng, MIX))
        assert all(len(texts) == 1 and text.endswith(texts[0]) for texts in unread(prompt=text).values()), (
            text
        )
