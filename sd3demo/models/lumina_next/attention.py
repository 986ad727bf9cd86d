"""Lumina-Next's attention with its logits scaled, as a processor in front of the network's own.

Only attention within the picture is scaled; the picture asks the text as it was trained to.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusers import LuminaNextDiT2DModel
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class ScaledAttention:
    """A processor of the attention within the picture, whose logits are multiplied by `scale`."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        query_rotary_emb: Tensor | None = None,
        key_rotary_emb: Tensor | None = None,
    ) -> Tensor:
        """(B, N, heads, D); all patches are there, so that no mask is needed."""
        query, key = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(hidden_states))  # type: ignore[operator]
        width = query.shape[-1] // attn.heads
        split = [x.unflatten(-1, (-1, width)) for x in (query, key, attn.to_v(hidden_states))]  # type: ignore[operator]
        turned = [apply_rotary_emb(x, query_rotary_emb, use_real=False).to(x.dtype) for x in split[:2]]
        repeats = turned[0].shape[2] // turned[1].shape[2]
        q, k, v = (x.transpose(1, 2) for x in (*turned, split[2]))
        k, v = (x.repeat_interleave(repeats, dim=1) for x in (k, v))
        mixed = scaled_dot_product_attention(q, k, v, scale=self._scale / math.sqrt(width))
        return mixed.transpose(1, 2)


@contextmanager
def scaled_attention(network: LuminaNextDiT2DModel, scale: float) -> Iterator[None]:
    """Scale the logits of attention within the picture for the time of a call; 1 leaves the network be."""
    if scale == 1:
        yield
        return
    blocks = [layer.attn1 for layer in network.layers]
    own: list[Callable[..., Tensor]] = [block.processor for block in blocks]
    for block in blocks:
        block.processor = ScaledAttention(scale)
    try:
        yield
    finally:
        for block, processor in zip(blocks, own, strict=True):
            block.processor = processor
