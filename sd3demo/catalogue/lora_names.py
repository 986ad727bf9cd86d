"""The names that LoRA files have for the layers of SD3, FLUX.1 and Lumina-Image 2.0, as diffusers' layers.

diffusers, PEFT and ai-toolkit name diffusers' modules; kohya's scripts and ComfyUI name those of the original
repositories, whose joined layers are several here. kohya has underscores for dots, so that all names are
compared with underscores.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

QKV, ADDED = (
    ("attn.to_q", "attn.to_k", "attn.to_v"),
    ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
)

PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lora_unet_",
    "lora_transformer_",
)


@dataclass(frozen=True)
class Target:
    """A layer of diffusers, and which rows of the LoRA's output are its own, in their order."""

    module: str
    rows: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Blocks:
    """A list of blocks in an original repository: its family, diffusers' list, and the layers of a block."""

    family: str
    list: str
    layers: Mapping[str, tuple[str, ...]]


_ORIGINAL: Mapping[str, _Blocks] = {
    "double_blocks": _Blocks(
        "flux",
        "transformer_blocks",
        {
            "img_attn.qkv": QKV,
            "txt_attn.qkv": ADDED,
            "img_attn.proj": ("attn.to_out.0",),
            "txt_attn.proj": ("attn.to_add_out",),
            "img_mlp.0": ("ff.net.0.proj",),
            "img_mlp.2": ("ff.net.2",),
            "txt_mlp.0": ("ff_context.net.0.proj",),
            "txt_mlp.2": ("ff_context.net.2",),
            "img_mod.lin": ("norm1.linear",),
            "txt_mod.lin": ("norm1_context.linear",),
        },
    ),
    "single_blocks": _Blocks(
        "flux",
        "single_transformer_blocks",
        {"linear1": (*QKV, "proj_mlp"), "linear2": ("proj_out",), "modulation.lin": ("norm.linear",)},
    ),
    "joint_blocks": _Blocks(
        "sd3",
        "transformer_blocks",
        {
            "x_block.attn.qkv": QKV,
            "context_block.attn.qkv": ADDED,
            "x_block.attn.proj": ("attn.to_out.0",),
            "context_block.attn.proj": ("attn.to_add_out",),
            "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
            "x_block.attn2.proj": ("attn2.to_out.0",),
            "x_block.mlp.fc1": ("ff.net.0.proj",),
            "x_block.mlp.fc2": ("ff.net.2",),
            "context_block.mlp.fc1": ("ff_context.net.0.proj",),
            "context_block.mlp.fc2": ("ff_context.net.2",),
            "x_block.adaLN_modulation.1": ("norm1.linear",),
            "context_block.adaLN_modulation.1": ("norm1_context.linear",),
        },
    ),
}
_OUTSIDE: Mapping[str, str] = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
"""Layers outside the blocks; those of FLUX.1 first."""
_SWAPPED = "norm_out.linear"
"""Its shift and scale stand the other way round in diffusers; so do a last text block's, of two chunks."""

_LISTS = (
    *("single_transformer_blocks", "transformer_blocks", "layers"),
    *("noise_refiner", "context_refiner"),
)
_LAYERS = (
    *QKV,
    *ADDED,
    *("attn.to_out.0", "attn.to_add_out", "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"),
    *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    *("norm1.linear", "norm1_context.linear", "norm.linear", "proj_mlp", "proj_out"),
    *("feed_forward.linear_1", "feed_forward.linear_2", "feed_forward.linear_3"),
)
"""diffusers' own lists of blocks, and the linear layers in them."""


def targets_of(name: str, outputs: int, inputs: int) -> tuple[str, tuple[Target, ...]]:
    """The family that a layer's name tells, if it does, and the layers of diffusers that it stands for.

    No layers for a name that is not known.
    """
    flat = _flat(name)
    for original, blocks in _ORIGINAL.items():
        if (found := re.fullmatch(rf"{original}_(\d+)_(.+)", flat)) is None:
            continue
        layers = {_flat(layer): parts for layer, parts in blocks.layers.items()}
        if found[2] not in layers:
            return blocks.family, ()
        parts = layers[found[2]]
        modules = [f"{blocks.list}.{found[1]}.{part}" for part in parts]
        swapped = found[2] == "context_block_adaLN_modulation_1" and outputs == 2 * inputs
        return blocks.family, _split(modules, outputs, inputs, swapped)
    for original, module in _OUTSIDE.items():
        if flat == _flat(original):
            family = "" if original.startswith("final") else "flux" if "_in" in original else "sd3"
            return family, _split([module], outputs, inputs, module == _SWAPPED)
    return _family_of(flat), _split([_dotted(name, flat)], outputs, inputs, False)


def _split(modules: list[str], outputs: int, inputs: int, swapped: bool) -> tuple[Target, ...]:
    """The rows of each layer: equal parts, or parts as wide as the input and the rest."""
    if swapped:
        return (Target(modules[0], ((outputs // 2, outputs), (0, outputs // 2))),)
    if len(modules) == 1:
        return (Target(modules[0], ((0, outputs),)),)
    part = outputs // 3 if len(modules) == 3 else inputs
    ends = [part * place for place in range(1, len(modules))]
    return tuple(
        Target(module, ((start, end),))
        for module, start, end in zip(modules, [0, *ends], [*ends, outputs], strict=True)
    )


def _dotted(name: str, flat: str) -> str:
    """diffusers' name of a layer; one that is written with dots is taken as it is."""
    if "." in name:
        return name
    for blocks in _LISTS:
        if found := re.fullmatch(rf"{blocks}_(\d+)_(.+)", flat):
            layers = {_flat(layer): layer for layer in _LAYERS}
            return f"{blocks}.{found[1]}.{layers.get(found[2], found[2])}"
    return name


def _family_of(flat: str) -> str:
    if flat.startswith("single_transformer_blocks"):
        return "flux"
    if flat.startswith(("noise_refiner", "context_refiner", "layers_")):
        return "lumina2"
    if flat.startswith(("down_blocks", "up_blocks", "mid_block", "input_blocks", "unet_", "output_blocks")):
        return "unet"
    return "sd3" if "_attn2_" in flat and flat.startswith("transformer_blocks") else ""


def _flat(name: str) -> str:
    return name.replace(".", "_")
