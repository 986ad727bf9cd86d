"""The MM-DiT of the embedded model, and the forward pass that trains it.

Sized by the paper's rule (SD3, end of section 4: hidden 64 x depth, heads = depth). diffusers leaves torch's
default initialisation in place, so weights are set here: Xavier, and zeros where a block's change
should start at nothing (adaLN-zero, arXiv 2212.09748).
"""

from __future__ import annotations

import math

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from sd3demo.training.autoencoder import CHANNELS
from sd3demo.training.encoders import CLIP_G_WIDTH, CLIP_L_WIDTH, T5_WIDTH

PATCH = 2
NATIVE = 16
"""Side of the native latent."""
TABLE = 40
"""Side of the position table in patches: four times the native grid, and room for other aspect ratios."""
BASE = 100.0
"""Base of the position table's frequencies, for tens of positions and not thousands."""


def position_table(width: int) -> Tensor:
    """(1, TABLE**2, width): sin and cos of each patch's column, then of its row, one radian a patch at
    the fastest.

    Laid out as diffusers' own table is. Its default would squeeze the native grid into 1.3 radians of
    its fastest wave, which makes neighbouring patches nearly alike.
    """
    frequencies = BASE ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    phases = torch.arange(TABLE, dtype=torch.float64)[:, None] * frequencies  # (TABLE, width/4)
    waves = torch.cat([phases.sin(), phases.cos()], 1)  # (TABLE, width/2)
    columns = waves[None, :, :].expand(TABLE, -1, -1)
    rows = waves[:, None, :].expand(-1, TABLE, -1)
    return torch.cat([columns, rows], 2).reshape(1, TABLE * TABLE, width).float()


def mmdit(depth: int) -> SD3Transformer2DModel:
    """An untrained MM-DiT of this depth."""
    width = 64 * depth
    model = SD3Transformer2DModel(
        sample_size=NATIVE,
        patch_size=PATCH,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=depth,
        attention_head_dim=64,
        num_attention_heads=depth,
        joint_attention_dim=T5_WIDTH,
        caption_projection_dim=width,
        pooled_projection_dim=CLIP_L_WIDTH + CLIP_G_WIDTH,
        pos_embed_max_size=TABLE,
        qk_norm="rms_norm",
    )
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.pos_embed.proj.weight.view(width, -1))
    nn.init.zeros_(model.pos_embed.proj.bias)
    for block in model.transformer_blocks:
        for norm in (block.norm1, block.norm1_context):
            nn.init.zeros_(norm.linear.weight)
    for last in (model.norm_out.linear, model.proj_out):
        nn.init.zeros_(last.weight)
    model.pos_embed.pos_embed.copy_(position_table(width))
    return model


class PlainAttention:
    """Joint attention of SD3's blocks by two batched products and a softmax, as a processor of diffusers.

    torch's fused attention goes backwards several times slower than this on CPUs at a hundred tokens.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None = None,
    ) -> tuple[Tensor, Tensor]:
        """Image (B, N, D) and text (B, M, D) to what each takes from both."""
        split = (attn.heads, hidden_states.shape[2] // attn.heads)
        image = [part.unflatten(2, split) for part in (attn.to_q(hidden_states), attn.to_k(hidden_states))]
        text = [
            part.unflatten(2, split)
            for part in (attn.add_q_proj(encoder_hidden_states), attn.add_k_proj(encoder_hidden_states))
        ]
        queries = torch.cat([attn.norm_q(image[0]), attn.norm_added_q(text[0])], 1)
        keys = torch.cat([attn.norm_k(image[1]), attn.norm_added_k(text[1])], 1)
        values = torch.cat([attn.to_v(hidden_states), attn.add_v_proj(encoder_hidden_states)], 1)
        q, k, v = (rows.transpose(1, 2).flatten(0, 1) for rows in (queries, keys, values.unflatten(2, split)))
        weights = torch.bmm(q * split[1] ** -0.5, k.transpose(1, 2)).softmax(-1)
        mixed = torch.bmm(weights, v).unflatten(0, (-1, attn.heads)).transpose(1, 2).flatten(2)
        seen, told = mixed.split([hidden_states.shape[1], encoder_hidden_states.shape[1]], 1)
        return attn.to_out[0](seen), told if attn.context_pre_only else attn.to_add_out(told)


class Trained(nn.Module):
    """The transformer in training, with a head that names what each patch shows, dropped afterwards.

    The head reads the middle of the network, as representation alignment does (REPA, arXiv 2410.06940),
    but from the world's own truth: which shape or letter and which colour covers how much of the patch.
    """

    def __init__(self, transformer: SD3Transformer2DModel, labels: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.tap = math.ceil(transformer.config.num_layers / 2)
        width = transformer.config.caption_projection_dim
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, labels))

    def forward(
        self, z: Tensor, t: Tensor, context: Tensor, pooled: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity (B, C, H, W) at z (B, C, H, W), t (B,), and label logits (B, patches, labels).

        positions: (1, patches, D), where each patch lies.
        """
        model = self.transformer
        height, width = z.shape[-2] // PATCH, z.shape[-1] // PATCH
        patches = model.pos_embed.proj(z).flatten(2).transpose(1, 2)
        x = (patches + positions).to(patches.dtype)
        shift = model.time_text_embed(t * 1000, pooled)
        c = model.context_embedder(context)
        labels = x
        for index, block in enumerate(model.transformer_blocks, start=1):
            c, x = block(hidden_states=x, encoder_hidden_states=c, temb=shift)
            if index == self.tap:
                labels = self.head(x)
        x = model.proj_out(model.norm_out(x, shift))
        x = x.reshape(len(z), height, width, PATCH, PATCH, -1).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(z.shape), labels
