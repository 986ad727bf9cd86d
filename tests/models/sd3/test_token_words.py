"""Each token is named after the word that it came from, in CLIP's row of tokens and in T5's."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sd3demo.catalogue import EncoderInput, find, read_folder
from sd3demo.models import load
from sd3demo.models.protocol import AttentionModel
from sd3demo.models.sd3.adapter import SD3
from sd3demo.models.sd3.token_words import END, PADDING, START, ZEROS, read
from tests.models.inputs import inputs

PROMPT = "a red circle, above"
WORDS = ("a", "red", "circle", ",", "above")


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> SD3:
    loaded = load(read_folder(checkpoint()), torch.float32)
    assert isinstance(loaded, SD3)
    return loaded


def given(
    model: SD3, tokens: int = 16, modes: tuple[str, ...] = (), **texts: str
) -> tuple[EncoderInput, ...]:
    names = ("clip_l", "clip_g", "t5")
    by_name = dict(zip(names, modes, strict=False))
    return inputs(model.spec, PROMPT, texts=texts, modes=by_name, tokens={"t5": tokens})


def words_of(model: SD3, encoder: str, asked: tuple[EncoderInput, ...]) -> list[str]:
    return [word for name, word in model.words(asked).words if name == encoder]


def test_a_model_of_this_family_says_what_it_attends_to(model: SD3) -> None:
    assert isinstance(model, AttentionModel)


def test_every_word_is_there_once_and_so_is_padding(model: SD3) -> None:
    short = given(model, clip_l="a red circle", clip_g="a red circle")
    assert words_of(model, "CLIP", short)[:4] == [START, "a", "red", "circle"]
    assert words_of(model, "T5", given(model)) == [*WORDS, END, PADDING]


def test_every_token_belongs_to_one_word(model: SD3) -> None:
    found = model.words(given(model))
    assert found.groups.shape == (model.spec.encoder("clip_l").tokens + 16, len(found.words))
    assert found.groups.sum(1).tolist() == [1] * len(found.groups)
    assert bool((found.groups.sum(0) > 0).all())


def test_a_word_that_comes_twice_is_two_words(model: SD3) -> None:
    words = words_of(model, "T5", given(model, t5="a red a blue"))
    assert words[:4] == ["a", "red", "a", "blue"]


def test_a_word_of_many_tokens_is_one_word(model: SD3) -> None:
    found = model.words(given(model, t5="zebra on"))
    t5 = [index for index, (encoder, _) in enumerate(found.words) if encoder == "T5"]
    assert found.words[t5[0]] == ("T5", "zebra")
    assert found.groups[:, t5[0]].sum() > 1


@pytest.mark.parametrize(
    ("modes", "clip", "t5"),
    [
        (("zeros", "zeros", "zeros"), [ZEROS], [ZEROS]),
        (("zeros", "zeros", "omit"), [ZEROS], []),
        (("on", "zeros", "empty"), None, [END, PADDING]),
    ],
)
def test_an_encoder_that_is_off_is_named_so(
    model: SD3, modes: tuple[str, ...], clip: list[str] | None, t5: list[str]
) -> None:
    if clip is not None:
        assert words_of(model, "CLIP", given(model, 5, modes)) == clip
    assert words_of(model, "T5", given(model, 5, modes)) == t5


def test_tokens_that_two_texts_share_are_named_after_both(model: SD3) -> None:
    words = words_of(model, "CLIP", given(model, 4, clip_l="a red circle", clip_g="a blue circle"))
    assert words[:4] == [START, "a", "red | blue", "circle"]


def test_the_tokens_are_those_that_the_encoders_read(model: SD3) -> None:
    assert model.encode(given(model)).length == len(model.words(given(model)).groups)


def test_the_embedded_models_tokenizers_name_letters_after_their_word() -> None:
    model = load(find("tiny"), torch.float32)
    assert isinstance(model, SD3)
    named = read(model.encoders["t5"].tokenizer, 'the word "CAT"', 20)
    assert [word for _, word in named if word == "CAT"] == ["CAT"] * 3
    assert {place for place, word in named if word == '"'} == {2, 4}
