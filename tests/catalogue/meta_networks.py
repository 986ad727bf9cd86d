"""The networks of the catalogue at their full size on torch's meta device, which holds no numbers."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from torch import nn

from sd3demo.catalogue import FluxShape, MMDiTShape


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


NETWORKS: Mapping[type, Callable[[Any], nn.Module]] = {MMDiTShape: _mmdit, FluxShape: _flux}
"""The network of a shape."""

CALLS = cast(
    "Mapping[type, Callable[[nn.Module, object, int, int], None]]",
    {MMDiTShape: _call_mmdit, FluxShape: _call_flux},
)
"""One call of it for so many tokens of a picture and of a text."""
