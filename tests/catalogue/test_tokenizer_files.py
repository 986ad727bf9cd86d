"""Tokenizers read from a checkpoint's folder: they cut and know what transformers' own do."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, CLIPTokenizer

from sd3demo.catalogue.entries import assets
from sd3demo.catalogue.tokenizer_files import cut_text, folder_of_tokenizer, whole_words

TEXTS = (
    "",
    "a red circle above a blue square",
    "A  RED\tcircle, (and) 'FLOW' -- 42 squares' it's",
    "a cat wearing a hat ☂ über 猫",
    "two cyan rings left of an orange heart on a black background with three stars " * 3,
)
TINY = assets() / "tiny"


def as_real_files(folder: Path, out: Path) -> Path:
    """The vocabulary and merges of a tokenizer.json in the two files that SD3's CLIPs come in."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    out.mkdir()
    (out / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (out / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("tokens", [3, 12, 20, 77])
@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_3", "two files"])
def test_what_is_cut_is_what_transformers_cuts(name: str, tokens: int, text: str, tmp_path: Path) -> None:
    if name == "two files":
        folder = as_real_files(TINY / "tokenizer", tmp_path / "clip")
        own = CLIPTokenizer.from_pretrained(folder)
    else:
        folder = TINY / name
        own = AutoTokenizer.from_pretrained(folder)
    found = cut_text(folder, text, tokens)
    assert found is not None
    assert bool(found.cut) == (len(own(text).input_ids) > tokens)
    read = text.rstrip().removesuffix(found.cut)
    assert len(own(read).input_ids) <= max(tokens, len(own("").input_ids))
    if found.cut:
        one_more = read + found.cut.split()[0]
        assert len(own(one_more).input_ids) > tokens


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_3"])
def test_a_word_with_pieces_that_the_tokenizer_lacks_is_named(name: str) -> None:
    found = cut_text(TINY / name, "a red 猫☂ circle", 20)
    assert found is not None
    assert found.unknown == ("猫☂",)


def test_the_words_of_a_closed_vocabulary_are_those_of_the_world() -> None:
    known = whole_words(TINY / "tokenizer_3")
    assert known is not None
    assert {"red", "circle", "circles", "background", "five", "2"} <= known
    assert not {"cat", "FLOW", "six", "."} & known
    assert whole_words(TINY / "tokenizer") is None  # byte pairs, of which none starts a word


def test_a_folder_without_a_tokenizer_or_with_a_broken_one_says_nothing(tmp_path: Path) -> None:
    assert cut_text(tmp_path, "a circle", 20) is None
    (tmp_path / "tokenizer.json").write_text("{")
    assert cut_text(tmp_path, "a circle", 20) is None
    assert whole_words(tmp_path) is None


def test_a_replaced_tokenizer_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes((TINY / "tokenizer_3" / "tokenizer.json").read_bytes())
    assert whole_words(tmp_path)
    file.unlink()
    assert whole_words(tmp_path) is None


def test_a_tokenizer_is_beside_its_encoder() -> None:
    assert folder_of_tokenizer("text_encoder_3") == "tokenizer_3"
