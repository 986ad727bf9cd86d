"""The shape of a transformer from its weights' names and shapes alone, in each layout that files have.

SD3 and FLUX.1 are found in diffusers' names and in those of the original repositories, which ComfyUI and GGUF
files share, with or without a prefix.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sd3demo.catalogue.networks import FluxShape, MMDiTShape

Shapes = Mapping[str, tuple[int, ...]]
Naming = Literal["diffusers", "original"]

PREFIX = "model.diffusion_model."
"""What stands before a transformer's weights in a file that holds more than it."""


@dataclass(frozen=True)
class Network:
    """A transformer in a file: its shape, its naming, and the width of a head where the weights tell it."""

    shape: MMDiTShape | FluxShape
    naming: Naming
    head: int | None

    @property
    def family(self) -> Literal["sd3", "flux"]:
        return "sd3" if isinstance(self.shape, MMDiTShape) else "flux"


def transformer_of(shapes: Shapes) -> Network | None:
    """Return the SD3 or FLUX.1 transformer among these weights; None where there is none, or not whole."""
    inside = {name.removeprefix(PREFIX): shape for name, shape in shapes.items() if name.startswith(PREFIX)}
    weights = inside or shapes
    try:
        for first, read in _READERS.items():
            if first in weights:
                return read(weights)
    except (KeyError, IndexError, ValueError):
        return None
    return None


def blocks(names: Iterable[str], prefix: str) -> int:
    """Return how many blocks `prefix.N.` there are among the names."""
    numbers = {name.split(".")[1] for name in names if name.startswith(f"{prefix}.")}
    return len({number for number in numbers if number.isdigit()})


def _sd3_original(weights: Shapes) -> Network:
    hidden, channels, patch = weights["x_embedder.proj.weight"][:3]
    head = weights.get("joint_blocks.0.x_block.attn.ln_q.weight")
    shape = MMDiTShape(
        depth=blocks(weights, "joint_blocks"),
        hidden=hidden,
        heads=hidden // (head[0] if head else 64),
        joint_dim=weights["context_embedder.weight"][1],
        pooled_dim=weights["y_embedder.mlp.0.weight"][1],
        channels=channels,
        patch=patch,
        table=round(weights["pos_embed"][1] ** 0.5),
        dual=sum(name.endswith("x_block.attn2.qkv.weight") for name in weights),
        qk_norm=head is not None,
    )
    return Network(shape, "original", head[0] if head else None)


def _sd3_diffusers(weights: Shapes) -> Network:
    hidden, channels, patch = weights["pos_embed.proj.weight"][:3]
    head = weights.get("transformer_blocks.0.attn.norm_q.weight")
    shape = MMDiTShape(
        depth=blocks(weights, "transformer_blocks"),
        hidden=hidden,
        heads=hidden // (head[0] if head else 64),
        joint_dim=weights["context_embedder.weight"][1],
        pooled_dim=weights["time_text_embed.text_embedder.linear_1.weight"][1],
        channels=channels,
        patch=patch,
        table=round(weights["pos_embed.pos_embed"][1] ** 0.5) if "pos_embed.pos_embed" in weights else 192,
        dual=sum(name.endswith("attn2.to_q.weight") for name in weights),
        qk_norm=head is not None,
    )
    return Network(shape, "diffusers", head[0] if head else None)


def _flux(weights: Shapes, names: Mapping[str, str], naming: Naming) -> Network:
    hidden, packed = weights[names["image"]]
    head = weights[names["norm"]][0]
    shape = FluxShape(
        double=blocks(weights, names["double"]),
        single=blocks(weights, names["single"]),
        hidden=hidden,
        heads=hidden // head,
        joint_dim=weights[names["text"]][1],
        pooled_dim=weights[names["pooled"]][1],
        channels=packed // 4,
        guidance=any(name.startswith(names["guidance"]) for name in weights),
    )
    return Network(shape, naming, head)


def _flux_original(weights: Shapes) -> Network:
    names = {
        "image": "img_in.weight",
        "text": "txt_in.weight",
        "pooled": "vector_in.in_layer.weight",
        "norm": "double_blocks.0.img_attn.norm.query_norm.scale",
        "double": "double_blocks",
        "single": "single_blocks",
        "guidance": "guidance_in.",
    }
    return _flux(weights, names, "original")


def _flux_diffusers(weights: Shapes) -> Network:
    names = {
        "image": "x_embedder.weight",
        "text": "context_embedder.weight",
        "pooled": "time_text_embed.text_embedder.linear_1.weight",
        "norm": "transformer_blocks.0.attn.norm_q.weight",
        "double": "transformer_blocks",
        "single": "single_transformer_blocks",
        "guidance": "time_text_embed.guidance_embedder.",
    }
    return _flux(weights, names, "diffusers")


_READERS = {
    "joint_blocks.0.x_block.attn.qkv.weight": _sd3_original,
    "double_blocks.0.img_attn.qkv.weight": _flux_original,
    "single_transformer_blocks.0.attn.to_q.weight": _flux_diffusers,
    "transformer_blocks.0.attn.add_q_proj.weight": _sd3_diffusers,
}
"""A weight that only this layout has, and what reads it; FLUX.1's single blocks set it apart from SD3."""
