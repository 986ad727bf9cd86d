"""The MM-DiT of SD3 (paper, section 4 and figure 2), run for sampling over diffusers' own modules.

It computes what `SD3Transformer2DModel.forward` does, given what does not change from step to step: the
modulations, the embedded text, the positions. A stream's queries, keys and values come from one product, both
streams are normalised together, and the last block, whose text goes no further, asks no questions on the
text's behalf.
"""

from dataclasses import dataclass
from typing import cast

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention import JointTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from sd3demo.models.modulation import BlockModulation, Modulation

EPS = 1e-6  # of every norm in the transformer
JOINED_BELOW = (
    500_000_000  # parameters; above it one product is no faster than three, and the copies are not small
)


@dataclass(frozen=True, eq=False)
class Projection:
    """Query, key and value of one stream: one joined layer or three, and the scales of QK-norm."""

    layers: tuple[tuple[Tensor, Tensor], ...]  # weight (3 D, D) and bias (3 D,), or thrice (D, D) and (D,)
    scales: Tensor | None  # (2, 1, D / heads), for queries and for keys


@dataclass(frozen=True, eq=False)
class BlockProjections:
    """Of a block's picture, of its text, and of its second attention where it has one."""

    image: Projection
    text: Projection
    dual: Projection | None


def fuse(network: SD3Transformer2DModel) -> tuple[BlockProjections, ...]:
    """The projections of every block, joined in a network small enough for copies and to gain from it."""
    joined = sum(weight.numel() for weight in network.parameters()) < JOINED_BELOW
    return tuple(
        BlockProjections(
            image=_of_image(block.attn, joined),
            text=_projection(
                (block.attn.add_q_proj, block.attn.add_k_proj, block.attn.add_v_proj),
                (block.attn.norm_added_q, block.attn.norm_added_k),
                joined,
            ),
            dual=_of_image(block.attn2, joined) if block.use_dual_attention else None,
        )
        for block in network.transformer_blocks
    )


def forward(
    network: SD3Transformer2DModel,
    projections: tuple[BlockProjections, ...],
    latent: Tensor,
    text: Tensor,
    positions: Tensor,
    modulation: Modulation,
) -> Tensor:
    """The velocity (B, C, H, W) at a latent of that shape.

    text: (B, M, D), already embedded; positions: (1, N, D), those of the latent's N patches; the modulation
    has B rows.
    """
    image = network.pos_embed.proj(latent).flatten(2).transpose(1, 2) + positions  # (B, N, D)
    for block, projection, rows in zip(
        network.transformer_blocks, projections, modulation.blocks, strict=True
    ):
        image, text = joint_block(block, projection, image, text, rows)
    tokens = network.proj_out(_modulated(image, *modulation.out))
    return unpatchify(tokens, latent.shape, network.config.patch_size)


def joint_block(
    block: JointTransformerBlock,
    projections: BlockProjections,
    image: Tensor,
    text: Tensor,
    rows: BlockModulation,
) -> tuple[Tensor, Tensor]:
    """One block: joint attention over both streams, then each stream's own feed-forward."""
    n, attention, last = image.shape[1], block.attn, block.context_pre_only
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp, *second = rows.image
    q, k, v = _heads(
        attention.heads,
        (projections.image, _modulated(image, shift, scale)),
        (projections.text, _modulated(text, *rows.text[:2])),
    )
    mixed = _attend(q[:, :n] if last else q, k, v)  # (B, N + M, D), without the text in the last block
    update = gate * attention.to_out[0](mixed[:, :n])
    if projections.dual is not None:
        shift, scale, gate = second
        mixed_2 = _attend(*_heads(attention.heads, (projections.dual, _modulated(image, shift, scale))))
        update = torch.addcmul(update, gate, block.attn2.to_out[0](mixed_2))
    image = image + update
    image = torch.addcmul(image, gate_mlp, block.ff(_modulated(image, shift_mlp, scale_mlp)))
    if last:
        return image, text
    _, _, gate, shift_mlp, scale_mlp, gate_mlp = rows.text
    text = torch.addcmul(text, gate, attention.to_add_out(mixed[:, n:]))
    return image, torch.addcmul(text, gate_mlp, block.ff_context(_modulated(text, shift_mlp, scale_mlp)))


def positions_of(network: SD3Transformer2DModel, height: int, width: int) -> Tensor:
    """(1, N, D), the positions of a latent of this size: the middle of the table."""
    return network.pos_embed.cropped_pos_embed(height, width)


def unpatchify(tokens: Tensor, shape: torch.Size, patch: int) -> Tensor:
    """(B, N, patch * patch * C) back to a latent (B, C, H, W)."""
    batch, channels, height, width = shape
    tiles = tokens.view(batch, height // patch, width // patch, patch, patch, channels)
    return tiles.permute(0, 5, 1, 3, 2, 4).reshape(shape)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, layer_norm(x, x.shape[-1:], eps=EPS), scale)


def _heads(heads: int, *streams: tuple[Projection, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of all streams in a row, each (B, N, heads, D / heads), with QK-norm applied."""
    rows = [torch.cat([linear(x, *layer) for layer in projection.layers], -1) for projection, x in streams]
    joined = torch.cat(rows, dim=1).unflatten(-1, (3, heads, -1))  # (B, N, 3, heads, D / heads)
    both, value = joined[:, :, :2], joined[:, :, 2]
    scales = [p.scales.expand(x.shape[1], -1, -1, -1) for p, x in streams if p.scales is not None]
    if scales:
        both = torch.rms_norm(both, both.shape[-1:], eps=EPS) * torch.cat(scales)
    query, key = both.unbind(2)
    return query, key, value


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over (B, N, heads, D / heads), heads joined again: (B, N, D)."""
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _of_image(attention: Attention, joined: bool) -> Projection:
    layers, norms = (attention.to_q, attention.to_k, attention.to_v), (attention.norm_q, attention.norm_k)
    return _projection(layers, norms, joined)


def _projection(
    layers: tuple[nn.Linear, ...], norms: tuple[nn.Module | None, ...], joined: bool
) -> Projection:
    pairs: tuple[tuple[Tensor, Tensor], ...] = tuple((layer.weight, layer.bias) for layer in layers)
    if joined:
        pairs = ((torch.cat([weight for weight, _ in pairs]), torch.cat([bias for _, bias in pairs])),)
    scales = [cast(Tensor, norm.weight) for norm in norms if norm is not None]
    return Projection(pairs, torch.stack(scales)[:, None] if scales else None)
