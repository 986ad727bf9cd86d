"""The embedded model's card says what is there."""

import base64
import io
import json
import random
import re

import numpy as np
import pytest
from PIL import Image

from sd3demo.catalogue import depths as models
from sd3demo.studies.exam_pictures import PICTURE
from sd3demo.studies.study import Cell, Measured
from sd3demo.world.exam import CATEGORIES
from sd3demo.world.render import render
from sd3demo.world.scenes import draw
from tests.card import (
    CAPTION,
    CARDS,
    COLUMNS,
    GAP,
    MODEL,
    SCORES,
    SIDE,
    blocks,
    depths,
    hashes,
    sheet,
)


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


def test_the_scores_of_the_model_of_several_sizes_are_those_that_were_measured() -> None:
    text = CARDS[0].read_text()
    for name, file in (("tiny", SCORES), ("tiny-sizes", MODEL / "scores_sizes.json")):
        found = json.loads(file.read_text())
        right = " | ".join(str(round(rate["n"] * rate["rate"])) for rate in found["scores"].values())
        assert f"\n| `{name}` | {right} |\n" in text


def test_the_card_tells_of_every_depth_what_was_recorded() -> None:
    text = CARDS[0].read_text()
    assert blocks(text, {"depths": depths()}) == text, "run `python -m tests.record depth`"
    assert tuple(re.findall(r"^\| (tiny(?:-\d)?) \|", text, re.MULTILINE)) == models()


def test_the_sheet_keeps_the_colours_of_its_pictures() -> None:
    rng = random.Random(0)
    pictures = (255 * render([draw(rng) for _ in range(64)])).byte().permute(0, 2, 3, 1).numpy()
    rows: dict[str, list[Measured]] = {}
    for k, picture in enumerate(pictures):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        raw = {"picture": base64.b64encode(file.getvalue()).decode(), "passed": k % 2 == 0}
        cell = Cell(PICTURE, "tiny", {"request": {"prompt": "a red circle"}}, {})
        rows.setdefault(str(k // COLUMNS), []).append(Measured(cell, raw, 1, 1, True, 0, 0))
    shown = np.asarray(sheet(rows).convert("RGB")).astype(int)
    for k, picture in enumerate(pictures):
        y, x = GAP + k // COLUMNS * (SIDE + CAPTION + GAP), GAP + k % COLUMNS * (SIDE + GAP)
        inside = shown[y : y + SIDE : 2, x : x + SIDE : 2][1:-1, 1:-1]
        assert np.abs(inside - picture[1:-1, 1:-1]).max() < 48


def test_a_block_is_replaced_and_all_else_stays() -> None:
    assert blocks("a\n<!-- x -->\nold\n<!-- /x -->\nb", {"x": "new"}) == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    assert blocks("a", {"x": "new"}) == "a"
