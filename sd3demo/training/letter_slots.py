"""Where each letter stands in its word, taught to T5, since nothing else tells the MM-DiT.

SD3's context tokens carry no positions of their own, so that the order of a word's letters is known only
if the text encoder puts it into its output. Denoising captions does not ask for it: a linear probe finds
every letter in the output of an encoder so trained, and its place in the word no better than by chance.
"""

from __future__ import annotations

import copy
import random
import string
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional
from transformers import T5EncoderModel, T5Tokenizer

from sd3demo.training.clock import TimeLimit
from sd3demo.training.precision import mixed
from sd3demo.training.progress import Progress
from sd3demo.training.tokenizers import tokens
from sd3demo.training.train_loop import descend
from sd3demo.world.captions import caption
from sd3demo.world.scenes import draw

LENGTHS = (2, 3, 4)
"""Letters of a written word."""
SLOTS = sum(LENGTHS)
"""Place and length together: the first of two, the second of two, the first of three and so on."""
NO_SLOT = -100
"""Of tokens that are no letter of a written word; what cross-entropy leaves out."""
MIX = {"word": 0.6, "single": 0.1, "pair": 0.1, "two": 0.1, "count": 0.05, "groups": 0.05}
"""Scenes that it is taught on: words, and enough of all else to hold what is said of that."""


class Places:
    """Reads from token ids (B, N) which slot each letter stands in."""

    def __init__(self, tokenizer: T5Tokenizer) -> None:
        self.letters = torch.tensor(tokenizer.convert_tokens_to_ids(list(string.ascii_letters)))

    def __call__(self, ids: Tensor) -> Tensor:
        """Slots (B, N) of int64; NO_SLOT where there is no letter, or a word of another length."""
        is_letter = torch.isin(ids, self.letters.to(ids.device))
        count = is_letter.sum(1, keepdim=True)
        before = is_letter.cumsum(1) - 1
        slots = count * (count - 1) // 2 - 1 + before
        known = is_letter & (count >= LENGTHS[0]) & (count <= LENGTHS[-1])
        return slots.masked_fill(~known, NO_SLOT)


def slot_directions(width: int) -> Tensor:
    """(SLOTS, width) orthonormal directions, the same for every encoder: what tells a slot is how far the
    output lies along its direction."""
    square = torch.randn(width, width, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(square)[0][:SLOTS].contiguous()


def slot_loss(hidden: Tensor, slots: Tensor, directions: Tensor) -> Tensor:
    """Mean cross-entropy of slots (B, N), read along `directions` from hidden states (B, N, width); 0 where
    there is no letter."""
    told = (hidden.float() @ directions.T).flatten(0, 1)
    total = functional.cross_entropy(told, slots.flatten(), reduction="sum")
    return total / (slots != NO_SLOT).sum().clamp(min=1)


def teach_places(
    model: T5EncoderModel,
    tokenizer: T5Tokenizer,
    clock: TimeLimit,
    *,
    device: torch.device,
    seed: int = 0,
    batch: int = 128,
    learning_rate: float = 5e-4,
    held: float = 4.0,
) -> Iterator[Progress]:
    """Teach an encoder that a flow is trained on already: slots are added to what it says at letters, and
    all else that it says is held where it was (mean square, weighed by `held`)."""
    rng = random.Random(seed)
    before = copy.deepcopy(model.to(device)).eval().requires_grad_(False)
    model.train().requires_grad_(True)
    places, directions = Places(tokenizer), slot_directions(model.config.d_model).to(device)
    beside = torch.eye(len(directions[0]), device=device) - directions.T @ directions

    def spell() -> tuple[Tensor, dict[str, Tensor]]:
        texts = [caption(rng, draw(rng, MIX)) for _ in range(batch)]
        ids = tokens(tokenizer, texts, device)
        slots = places(ids)
        with mixed(device):
            now = model(ids).last_hidden_state.float()
            with torch.no_grad():
                then = before(ids).last_hidden_state.float()
        gap = now - then
        gap = torch.where((slots == NO_SLOT)[..., None], gap, gap @ beside)
        drift = gap.square().mean()
        right = ((now @ directions.T).argmax(-1) == slots)[slots != NO_SLOT].float().mean()
        return slot_loss(now, slots, directions) + held * drift, {"slots": right, "drift": drift.detach()}

    yield from descend(model.parameters(), spell, clock, "spelling", batch=batch, learning_rate=learning_rate)
    model.requires_grad_(False).eval()
