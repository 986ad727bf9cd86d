"""Lumina-Image 2.0's joint attention with a tuning of its logits, in place of the network's own processor.

Where nothing is tuned the network's own processor answers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import Lumina2Transformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

from sd3demo.models.attention_tuning import STOCK, Tuning, attend_biased

UNSEEN = -1e4
"""Added to the logit of a key of padding: its weight is 0."""


class TunedJointAttention:
    """A processor of the joint stream: a row's text of so many words, its patches, and padding."""

    def __init__(self, tuning: Tuning, words: Sequence[int], patches: int) -> None:
        self._tuning, self._words, self._patches = tuning, words, patches

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Tensor | None = None,
    ) -> Tensor:
        width = attn.to_q.out_features // attn.heads  # type: ignore[operator, union-attr]
        query, key, value = (
            getattr(attn, layer)(hidden_states).unflatten(-1, (-1, width))
            for layer in ("to_q", "to_k", "to_v")
        )
        query, key = (
            apply_rotary_emb(norm(x), image_rotary_emb, use_real=False).to(value.dtype)  # type: ignore[operator]
            for norm, x in ((attn.norm_q, query), (attn.norm_k, key))
        )
        repeats = query.shape[2] // key.shape[2]
        key, value = (x.repeat_interleave(repeats, dim=2) for x in (key, value))
        mixed = attend_biased(query, key, value, self._bias(key), self._tuning.scale)
        return attn.to_out[1](attn.to_out[0](mixed))  # type: ignore[index, operator]

    def _bias(self, key: Tensor) -> Tensor:
        """(R, K): log n for a key of the text, which counts n times."""
        place = torch.arange(key.shape[1], device=key.device)
        words = torch.tensor(self._words, device=key.device)[:, None]
        bias = math.log(self._tuning.copies) * (place < words).double()
        return bias.masked_fill(place >= words + self._patches, UNSEEN)


@contextmanager
def tuned_attention(
    network: Lumina2Transformer2DModel, tuning: Tuning, words: Sequence[int], patches: int
) -> Iterator[None]:
    """Tune the attention of the joint blocks for the time of a call; STOCK leaves the network be."""
    if tuning == STOCK:
        yield
        return
    blocks = [layer.attn for layer in network.layers]
    own: list[Callable[..., Tensor]] = [block.processor for block in blocks]
    for block in blocks:
        block.processor = TunedJointAttention(tuning, words, patches)
    try:
        yield
    finally:
        for block, processor in zip(blocks, own, strict=True):
            block.processor = processor
