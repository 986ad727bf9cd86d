"""T5 tells where each letter stands: what it is taught, and what the encoder that ships says."""

import random
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import Tensor

from sd3demo.training.checkpoint import read_encoders
from sd3demo.training.clock import TimeLimit
from sd3demo.training.encoders import encoder_of, t5_model
from sd3demo.training.letter_slots import (
    NO_SLOT,
    SLOTS,
    Places,
    slot_directions,
    slot_loss,
    teach_places,
)
from sd3demo.training.tokenizers import t5_tokenizer, tokens
from sd3demo.world.captions import caption
from sd3demo.world.scenes import draw
from sd3demo.world.vocabulary import HELD_OUT_WORDS

CPU = torch.device("cpu")


class After(Event):
    """Set once it was asked so many times: a run of a number of steps, on any machine."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def _ids(texts: list[str]) -> Tensor:
    return tokens(t5_tokenizer(), texts, CPU)


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ('the word "HI" in pink', [0, 1]),
        ('letters reading "CAT"', [2, 3, 4]),
        ('the word "jazz" in pink on a white background', [5, 6, 7, 8]),
        ('"RED" written in red', [2, 3, 4]),
        ("two red circles", []),
        ('the word "HELLO" in pink', []),
        ('the word "A" in pink', []),
    ],
)
def test_each_letter_of_a_written_word_has_its_slot_and_nothing_else_has(text: str, slots: list[int]) -> None:
    [found] = Places(t5_tokenizer())(_ids([text])).tolist()
    assert [slot for slot in found if slot != NO_SLOT] == slots


def test_slots_of_a_batch_are_those_of_its_rows() -> None:
    rng = random.Random(0)
    ids = _ids([caption(rng, draw(rng)) for _ in range(64)])
    places = Places(t5_tokenizer())
    assert torch.equal(places(ids), torch.cat([places(row[None]) for row in ids]))


def test_directions_are_orthonormal_and_the_same_every_time() -> None:
    directions = slot_directions(256)
    assert torch.allclose(directions @ directions.T, torch.eye(SLOTS), atol=1e-5)
    torch.manual_seed(9)
    assert torch.equal(directions, slot_directions(256))


def test_the_loss_reads_each_slot_along_its_own_direction() -> None:
    directions = slot_directions(64)
    slots = torch.tensor([[NO_SLOT, 0, 1, NO_SLOT], [2, 3, 4, NO_SLOT]])
    told = 50 * directions[slots.clamp(min=0)]
    assert slot_loss(told, slots, directions).item() < 1e-4
    assert slot_loss(told.roll(1, 1), slots, directions).item() > 10
    told[slots == NO_SLOT] = 1e3  # what is said elsewhere does not count
    assert slot_loss(told, slots, directions).item() < 1e-4


def test_a_batch_without_a_letter_has_no_loss_and_no_gradient() -> None:
    hidden = torch.randn(2, 4, 64, requires_grad=True)
    loss = slot_loss(hidden, torch.full((2, 4), NO_SLOT), slot_directions(64))
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


@pytest.mark.slow
def test_teaching_moves_letters_more_than_all_else() -> None:
    torch.manual_seed(0)
    model, tokenizer = encoder_of(t5_model(t5_tokenizer())), t5_tokenizer()
    ids = _ids(['the word "JAZZ" in pink', "three red rings on a white background"])
    with torch.no_grad():
        before = model(ids).last_hidden_state
        reports = []
        with torch.enable_grad():
            reports += teach_places(model, tokenizer, TimeLimit(600, After(400)), device=CPU, batch=16)
        gap = (model(ids).last_hidden_state - before).square().mean(2)
    letters = Places(tokenizer)(ids) != NO_SLOT
    assert {report.stage for report in reports} == {"spelling"}
    assert gap[letters].mean() > 2 * gap[~letters].mean()
    assert not any(weight.requires_grad for weight in model.parameters())


def test_the_shipped_encoder_tells_the_place_of_every_letter_of_words_never_trained() -> None:
    encoders = read_encoders(Path("assets/tiny"), CPU)
    ids = _ids([f'the word "{word}" in {colour}' for word in HELD_OUT_WORDS for colour in ("pink", "blue")])
    slots = Places(encoders.t5_tokenizer)(ids)
    with torch.no_grad():
        told = (encoders.t5(ids).last_hidden_state @ slot_directions(256).T).argmax(-1)
    known = slots != NO_SLOT
    assert (told == slots)[known].float().mean() > 0.99
