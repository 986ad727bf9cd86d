"""The embedded model's card says what is there."""

import json
import re

import pytest

from sd3demo.catalogue import depths as models
from sd3demo.world.prompts import CATEGORIES
from tests.card import CARDS, MODEL, SCORES, blocks, depths, hashes


def test_the_card_names_the_weights_that_are_there() -> None:
    text = CARDS[0].read_text()
    assert blocks(text, {"hashes": hashes()}) == text, "run `python -m tests.card`"
    assert len(re.findall(r"^[0-9a-f]{64}  ", text, re.MULTILINE)) == len(list(MODEL.rglob("*.safetensors")))


@pytest.mark.parametrize("card", CARDS, ids=["card", "readme"])
def test_the_scores_told_are_those_that_were_measured(card) -> None:
    found = json.loads(SCORES.read_text())
    told = dict(re.findall(r"^\| ([a-z-]+) \| (\d\.\d\d ± \d\.\d\d) \|", card.read_text(), re.MULTILINE))
    assert told == {
        name: f"{rate['rate']:.2f} ± {rate['error']:.2f}" for name, rate in found["scores"].items()
    }
    assert set(told) == set(CATEGORIES)


def test_the_card_tells_of_every_depth_what_was_recorded() -> None:
    text = CARDS[0].read_text()
    assert blocks(text, {"depths": depths()}) == text, "run `python -m tests.record depth`"
    assert tuple(re.findall(r"^\| (tiny(?:-\d)?) \|", text, re.MULTILINE)) == models()


def test_a_block_is_replaced_and_all_else_stays() -> None:
    assert blocks("a\n<!-- x -->\nold\n<!-- /x -->\nb", {"x": "new"}) == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    assert blocks("a", {"x": "new"}) == "a"
