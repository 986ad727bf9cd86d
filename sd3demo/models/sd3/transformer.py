"""The MM-DiT of SD3 (paper, section 4 and figure 2) for sampling, over the weights of diffusers' modules.

It computes what `SD3Transformer2DModel.forward` does, given what does not change from step to step: the
modulations, the embedded text, the positions. A stream's queries, keys and values come from one product, both
streams are normalised together, and the last block, whose text goes no further, asks no questions on the
text's behalf.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention import FeedForward, JointTransformerBlock
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from sd3demo.models.attention_tuning import STOCK, Tuning, attend
from sd3demo.models.linear import LinearLayer, can_pack, joined
from sd3demo.models.sd3.modulation import BlockModulation, Modulation

EPS = 1e-6  # of every norm in the transformer


@dataclass(frozen=True, eq=False)
class Attention:
    """One stream's way into an attention and out of it. `out` is missing where nothing comes back."""

    qkv: tuple[LinearLayer, ...]
    scales: Tensor | None  # (2, 1, D / heads): QK-norm's, for queries and for keys
    out: LinearLayer | None


@dataclass(frozen=True, eq=False)
class Block:
    """One joint block; `dual` is SD3.5-medium's second attention, of the picture to itself."""

    heads: int
    image: Attention
    text: Attention
    dual: Attention | None
    image_mlp: tuple[LinearLayer, LinearLayer]
    text_mlp: tuple[LinearLayer, LinearLayer] | None


@dataclass(frozen=True, eq=False)
class MMDiT:
    """The layers of a network in the order in which they are used."""

    patches: nn.Module
    blocks: tuple[Block, ...]
    out: LinearLayer
    patch: int


def lay_out(network: SD3Transformer2DModel) -> MMDiT:
    """A network's layers, where they are: for as long as its weights stay there."""
    pack = can_pack(network)
    return MMDiT(
        patches=network.pos_embed.proj,
        blocks=tuple(_block(block, pack) for block in network.transformer_blocks),
        out=joined((network.proj_out,), pack=pack)[0],
        patch=network.config.patch_size,
    )


def forward(
    model: MMDiT,
    latent: Tensor,
    text: Tensor,
    positions: Tensor,
    modulation: Modulation,
    tuning: Tuning = STOCK,
    *,
    skip: Collection[int] = (),
) -> Tensor:
    """The velocity (B, C, H, W) at a latent of that shape.

    text: (B, M, D), already embedded; positions: (1, N, D) or (B, N, D), those of the latent's N patches; the
    modulation has B rows. Blocks whose numbers are in `skip` pass their input on.
    """
    image = model.patches(latent).flatten(2).transpose(1, 2) + positions  # (B, N, D)
    for index, (block, rows) in enumerate(zip(model.blocks, modulation.blocks, strict=True)):
        if index not in skip:
            image, text = joint_block(block, image, text, rows, tuning)
    return unpatchify(model.out(_modulated(image, *modulation.out)), latent.shape, model.patch)


def joint_block(
    block: Block, image: Tensor, text: Tensor, rows: BlockModulation, tuning: Tuning = STOCK
) -> tuple[Tensor, Tensor]:
    """Joint attention over both streams, then each stream's own feed-forward."""
    n = image.shape[1]
    _, _, gate, shift_mlp, scale_mlp, gate_mlp, *second = rows.image
    q, k, v = queries_keys_values(block, image, text, rows)
    asking = q if block.text.out else q[:, :n]
    mixed = attend(asking, k, v, text.shape[1], tuning)  # (B, N + M, D), or (B, N, D) in the last block

    assert block.image.out is not None
    before, image = image, torch.addcmul(image, gate, block.image.out(mixed[:, :n]))
    if block.dual is not None and block.dual.out is not None:
        shift, scale, gate = second
        own = _heads(block.heads, (block.dual, _modulated(before, shift, scale)))
        alone = attend(*own, 0, tuning)
        image = torch.addcmul(image, gate, block.dual.out(alone))
    image = torch.addcmul(image, gate_mlp, _mlp(block.image_mlp, _modulated(image, shift_mlp, scale_mlp)))
    if block.text.out is None or block.text_mlp is None:
        return image, text
    _, _, gate, shift_mlp, scale_mlp, gate_mlp = rows.text
    text = torch.addcmul(text, gate, block.text.out(mixed[:, n:]))
    text = torch.addcmul(text, gate_mlp, _mlp(block.text_mlp, _modulated(text, shift_mlp, scale_mlp)))
    return image, text


def queries_keys_values(
    block: Block, image: Tensor, text: Tensor, rows: BlockModulation
) -> tuple[Tensor, Tensor, Tensor]:
    """Those of a block's joint attention, each (B, N + M, heads, D / heads): patches first, then text."""
    return _heads(
        block.heads,
        (block.image, _modulated(image, *rows.image[:2])),
        (block.text, _modulated(text, *rows.text[:2])),
    )


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


def _mlp(layers: tuple[LinearLayer, LinearLayer], x: Tensor) -> Tensor:
    up, down = layers
    return down(up(x))


def _heads(heads: int, *streams: tuple[Attention, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of all streams in a row, each (B, N, heads, D / heads), with QK-norm applied."""
    rows = [_in_a_row([layer(x) for layer in stream.qkv], dim=-1) for stream, x in streams]
    row = _in_a_row(rows, dim=1).unflatten(-1, (3, heads, -1))  # (B, N, 3, heads, D / heads)
    both, value = row[:, :, :2], row[:, :, 2]
    scales = [
        stream.scales.expand(x.shape[1], -1, -1, -1) for stream, x in streams if stream.scales is not None
    ]
    if scales:
        both = torch.rms_norm(both, both.shape[-1:], eps=EPS) * torch.cat(scales)
    query, key = both.unbind(2)
    return query, key, value


def _in_a_row(tensors: list[Tensor], dim: int) -> Tensor:
    """Concatenation, without a copy of what stands alone."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


def _block(block: JointTransformerBlock, pack: bool) -> Block:
    attention, last = block.attn, block.context_pre_only
    return Block(
        heads=attention.heads,
        image=Attention(
            qkv=joined((attention.to_q, attention.to_k, attention.to_v), pack=pack),
            scales=_scales(attention.norm_q, attention.norm_k),
            out=joined((attention.to_out[0],), pack=pack)[0],
        ),
        text=Attention(
            qkv=joined((attention.add_q_proj, attention.add_k_proj, attention.add_v_proj), pack=pack),
            scales=_scales(attention.norm_added_q, attention.norm_added_k),
            out=None if last else joined((attention.to_add_out,), pack=pack)[0],
        ),
        dual=_dual(block, pack) if block.use_dual_attention else None,
        image_mlp=_layers(block.ff, pack),
        text_mlp=None if last else _layers(block.ff_context, pack),
    )


def _dual(block: JointTransformerBlock, pack: bool) -> Attention:
    attention = block.attn2
    return Attention(
        qkv=joined((attention.to_q, attention.to_k, attention.to_v), pack=pack),
        scales=_scales(attention.norm_q, attention.norm_k),
        out=joined((attention.to_out[0],), pack=pack)[0],
    )


def _layers(mlp: FeedForward, pack: bool) -> tuple[LinearLayer, LinearLayer]:
    """The two layers of a feed-forward, a GELU after the first."""
    up, down = mlp.net[0].proj, mlp.net[2]
    return joined((up,), pack=pack, activated=True)[0], joined((down,), pack=pack)[0]


def _scales(*norms: nn.Module | None) -> Tensor | None:
    weights = [cast(Tensor, norm.weight) for norm in norms if norm is not None]
    return torch.stack(weights)[:, None] if weights else None
