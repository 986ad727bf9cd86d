"""FLUX.1's attention with a tuning of its logits, as a processor in front of the network's own.

Where nothing is tuned the network's own processor answers, so that backends, adapters and parity stay. A
block of two streams gives picture and text apart, a block of one gives both in a row; the text comes first.
"""

from collections.abc import Callable, Sequence

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.transformers.transformer_flux import FluxAttention
from torch import Tensor

from sd3demo.models.attention_tuning import STOCK, Tuning, attend
from sd3demo.models.averaged_attention import mean_of
from sd3demo.models.context_parallel import ParallelConfig
from sd3demo.models.flux.positions import Rotary


class TunedAttention:
    """A processor of diffusers' FluxAttention; `text` are the text's tokens of a block of one stream.

    With `aligned` attention is averaged over these rotary embeddings.
    """

    def __init__(self, own: Callable[..., Tensor | tuple[Tensor, Tensor]]) -> None:
        self._own = own
        self._parallel_config: ParallelConfig | None = getattr(own, "_parallel_config", None)

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotary | None = None,
        tuning: Tuning = STOCK,
        text: int = 0,
        aligned: Sequence[Rotary] = (),
    ) -> Tensor | tuple[Tensor, Tensor]:
        assert image_rotary_emb is not None
        if not aligned and tuning == STOCK and image_rotary_emb[0].ndim == 2:
            return self._own(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)
        query, key, value = _normalised(attn, hidden_states, ("to_q", "to_k", "to_v"), "norm_q", "norm_k")
        if encoder_hidden_states is not None:
            layers = ("add_q_proj", "add_k_proj", "add_v_proj")
            first = _normalised(attn, encoder_hidden_states, layers, "norm_added_q", "norm_added_k")
            query, key, value = (
                torch.cat(pair, dim=1) for pair in zip(first, (query, key, value), strict=True)
            )
        mixed = mean_of(
            [
                attend(
                    rotated(query, each),
                    rotated(key, each),
                    value,
                    text,
                    tuning,
                    text_first=True,
                    parallel=self._parallel_config,
                )
                for each in aligned or (image_rotary_emb,)
            ]
        )
        if encoder_hidden_states is None:
            return mixed
        count = encoder_hidden_states.shape[1]
        image = attn.to_out[1](attn.to_out[0](mixed[:, count:]))
        return image, attn.to_add_out(mixed[:, :count])


def use_tuned_attention(network: FluxTransformer2DModel) -> None:
    """Set the processors once; a network that is never given a tuning computes as before."""
    own = network.attn_processors
    if not all(isinstance(each, TunedAttention) for each in own.values()):
        network.set_attn_processor({name: TunedAttention(each) for name, each in own.items()})


def rotated(x: Tensor, rotary: Rotary) -> Tensor:
    """(B, N, heads, D) with each pair of channels turned, as diffusers does it; rows may differ."""
    cos, sin = (each.to(x.device).unsqueeze(-2) for each in rotary)  # (N, 1, D) or (B, N, 1, D)
    real, imaginary = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((-imaginary, real), dim=-1).flatten(-2)
    return (x.float() * cos + turned.float() * sin).to(x.dtype)


def _normalised(
    attn: FluxAttention, x: Tensor, layers: tuple[str, str, str], norm_q: str, norm_k: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of a stream, each (B, N, heads, D), with QK-norm."""
    query, key, value = (getattr(attn, layer)(x).unflatten(-1, (-1, attn.head_dim)) for layer in layers)
    return getattr(attn, norm_q)(query), getattr(attn, norm_k)(key), value
