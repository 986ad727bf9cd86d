"""Each token is named after the word that it came from, in CLIP's row of tokens and in T5's."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sd3demo.catalogue import find, read_folder
from sd3demo.models import load
from sd3demo.models.protocol import AttentionModel, EncoderModes, Texts
from sd3demo.models.sd3.adapter import SD3
from sd3demo.models.sd3.token_words import END, PADDING, START, ZEROS, read

PROMPT = "a red circle, above"
WORDS = ("a", "red", "circle", ",", "above")


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> SD3:
    made = load(read_folder(checkpoint()), torch.float32)
    assert isinstance(made, SD3)
    return made


def texts(clip_l: str = PROMPT, clip_g: str = PROMPT, t5: str = PROMPT) -> Texts:
    return Texts(clip_l, clip_g, t5)


def words_of(model: SD3, encoder: str, given: Texts, modes: EncoderModes) -> list[str]:
    return [word for name, word in model.read(given, modes).words if name == encoder]


def test_a_model_of_this_family_says_what_it_attends_to(model: SD3) -> None:
    assert isinstance(model, AttentionModel)


def test_every_word_is_there_once_and_so_is_padding(model: SD3) -> None:
    modes = EncoderModes(t5_tokens=16)
    assert words_of(model, "CLIP", texts("a red circle"), modes)[:4] == [START, "a", "red", "circle"]
    assert words_of(model, "T5", texts(), modes) == [*WORDS, END, PADDING]


def test_every_token_belongs_to_one_word(model: SD3) -> None:
    reading = model.read(texts(), EncoderModes(t5_tokens=16))
    assert reading.groups.shape == (model.spec.clip_tokens + 16, len(reading.words))
    assert reading.groups.sum(1).tolist() == [1] * len(reading.groups)
    assert bool((reading.groups.sum(0) > 0).all())


def test_a_word_that_comes_twice_is_two_words(model: SD3) -> None:
    words = words_of(model, "T5", texts(t5="a red a blue"), EncoderModes(t5_tokens=16))
    assert words[:4] == ["a", "red", "a", "blue"]


def test_a_word_of_many_tokens_is_one_word(model: SD3) -> None:
    reading = model.read(texts(t5="zebra on"), EncoderModes(t5_tokens=16))
    t5 = [index for index, (encoder, _) in enumerate(reading.words) if encoder == "T5"]
    assert reading.words[t5[0]] == ("T5", "zebra")
    assert reading.groups[:, t5[0]].sum() > 1


@pytest.mark.parametrize(
    ("modes", "clip", "t5"),
    [
        (EncoderModes("zeros", "zeros", "zeros", 5), [ZEROS], [ZEROS]),
        (EncoderModes("zeros", "zeros", "omit", 5), [ZEROS], []),
        (EncoderModes("on", "zeros", "empty", 5), None, [END, PADDING]),
    ],
)
def test_an_encoder_that_is_off_is_named_so(
    model: SD3, modes: EncoderModes, clip: list[str] | None, t5: list[str]
) -> None:
    if clip is not None:
        assert words_of(model, "CLIP", texts(), modes) == clip
    assert words_of(model, "T5", texts(), modes) == t5


def test_tokens_that_two_texts_share_are_named_after_both(model: SD3) -> None:
    words = words_of(model, "CLIP", texts("a red circle", "a blue circle"), EncoderModes(t5_tokens=4))
    assert words[:4] == [START, "a", "red | blue", "circle"]


def test_the_tokens_are_those_that_the_encoders_read(model: SD3) -> None:
    reading = model.read(texts(), EncoderModes(t5_tokens=16))
    conditioning = model.encode(texts(), EncoderModes(t5_tokens=16))
    assert conditioning.tokens.shape[1] == len(reading.groups)


def test_the_embedded_models_tokenizers_name_letters_after_their_word() -> None:
    model = load(find("tiny"), torch.float32)
    assert isinstance(model, SD3)
    assert model.t5 is not None
    named = read(model.t5.tokenizer, 'the word "CAT"', 20)
    assert [word for _, word in named if word == "CAT"] == ["CAT"] * 3
    assert {place for place, word in named if word == '"'} == {2, 4}
