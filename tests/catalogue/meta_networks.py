"""The networks of the catalogue at their full size on torch's meta device, which holds no numbers."""

from collections.abc import Callable, Mapping
from typing import Any, cast
from unittest.mock import patch

import torch
from diffusers import (
    FluxTransformer2DModel,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    SD3Transformer2DModel,
)
from diffusers.models.transformers.transformer_lumina2 import Lumina2RotaryPosEmbed
from torch import nn

from sd3demo.catalogue import FluxShape, Lumina2Shape, LuminaNextShape, MMDiTShape


def _mmdit(shape: MMDiTShape) -> nn.Module:
    with torch.device("meta"):
        return SD3Transformer2DModel(
            num_layers=shape.depth,
            num_attention_heads=shape.heads,
            attention_head_dim=shape.hidden // shape.heads,
            caption_projection_dim=shape.hidden,
            joint_attention_dim=shape.joint_dim,
            pooled_projection_dim=shape.pooled_dim,
            pos_embed_max_size=shape.table,
            dual_attention_layers=tuple(range(shape.dual)),
            qk_norm="rms_norm" if shape.qk_norm else None,
        )


def _flux(shape: FluxShape) -> nn.Module:
    with torch.device("meta"):
        return FluxTransformer2DModel(
            in_channels=shape.channels * shape.patch**2,
            num_layers=shape.double,
            num_single_layers=shape.single,
            num_attention_heads=shape.heads,
            attention_head_dim=shape.hidden // shape.heads,
            joint_attention_dim=shape.joint_dim,
            pooled_projection_dim=shape.pooled_dim,
            guidance_embeds=shape.guidance,
            axes_dims_rope=shape.axes,
        )


def _call_mmdit(model: nn.Module, shape: MMDiTShape, image: int, text: int) -> None:
    side = round(image**0.5) * shape.patch
    with torch.device("meta"):
        model(
            hidden_states=torch.empty(1, shape.channels, side, side),
            timestep=torch.empty(1),
            encoder_hidden_states=torch.empty(1, text, shape.joint_dim),
            pooled_projections=torch.empty(1, shape.pooled_dim),
        )


def _call_flux(model: nn.Module, shape: FluxShape, image: int, text: int) -> None:
    with torch.device("meta"):
        model(
            hidden_states=torch.empty(1, image, shape.channels * shape.patch**2),
            timestep=torch.empty(1),
            guidance=torch.empty(1) if shape.guidance else None,
            encoder_hidden_states=torch.empty(1, text, shape.joint_dim),
            pooled_projections=torch.empty(1, shape.pooled_dim),
            img_ids=torch.empty(image, 3),
            txt_ids=torch.empty(text, 3),
        )


def _lumina_next(shape: LuminaNextShape) -> nn.Module:
    with torch.device("meta"):
        return LuminaNextDiT2DModel(
            patch_size=shape.patch,
            in_channels=shape.channels,
            hidden_size=shape.hidden,
            num_layers=shape.depth,
            num_attention_heads=shape.heads,
            num_kv_heads=shape.kv_heads,
            multiple_of=shape.multiple_of,
            cross_attention_dim=shape.text_dim,
            learn_sigma=shape.learn_sigma,
        )


def _lumina2(shape: Lumina2Shape) -> nn.Module:
    """Its table of positions is left out: the meta device cannot make it."""
    with (
        patch.object(Lumina2RotaryPosEmbed, "_precompute_freqs_cis", lambda *given: []),
        torch.device("meta"),
    ):
        return Lumina2Transformer2DModel(
            patch_size=shape.patch,
            in_channels=shape.channels,
            hidden_size=shape.hidden,
            num_layers=shape.joint,
            num_refiner_layers=shape.refiners,
            num_attention_heads=shape.heads,
            num_kv_heads=shape.kv_heads,
            multiple_of=shape.multiple_of,
            axes_dim_rope=shape.axes,
            cap_feat_dim=shape.text_dim,
        )


def _call_lumina_next(model: nn.Module, shape: LuminaNextShape, image: int, text: int) -> None:
    side = round(image**0.5)
    with torch.device("meta"):
        model(
            hidden_states=torch.empty(1, shape.channels, side * shape.patch, side * shape.patch),
            timestep=torch.empty(1),
            encoder_hidden_states=torch.empty(1, text, shape.text_dim),
            encoder_mask=torch.empty(1, text),
            image_rotary_emb=torch.empty(side, side, shape.hidden // shape.heads // 2, dtype=torch.complex64),
            cross_attention_kwargs={},
        )


def _call_lumina2(model: nn.Module, shape: Lumina2Shape, image: int, text: int) -> None:
    side, patch_side = round(image**0.5), shape.patch
    with torch.device("meta"):
        turned = torch.empty(1, image + text, sum(shape.axes) // 2, dtype=torch.complex64)
        patches = torch.empty(1, image, shape.channels * patch_side**2)
        answer = (patches, turned[:, :text], turned[:, text:], turned, [text], [image + text])
        model.rope_embedder.forward = lambda latent, mask: answer  # the lengths of a mask would be read
        model(
            hidden_states=torch.empty(1, shape.channels, side * patch_side, side * patch_side),
            timestep=torch.empty(1),
            encoder_hidden_states=torch.empty(1, text, shape.text_dim),
            encoder_attention_mask=torch.empty(1, text),
        )


NETWORKS: Mapping[type, Callable[[Any], nn.Module]] = {
    MMDiTShape: _mmdit,
    FluxShape: _flux,
    LuminaNextShape: _lumina_next,
    Lumina2Shape: _lumina2,
}
"""The network of a shape."""

CALLS = cast(
    "Mapping[type, Callable[[nn.Module, object, int, int], None]]",
    {
        MMDiTShape: _call_mmdit,
        FluxShape: _call_flux,
        LuminaNextShape: _call_lumina_next,
        Lumina2Shape: _call_lumina2,
    },
)
"""One call of it for so many tokens of a picture and of a text."""
