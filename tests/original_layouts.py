"""SD3's weights in the names of the original repository, as ComfyUI's files have them, and GGUF files.

The inverse of what diffusers' single-file loaders do, so that a small random checkpoint can be written so.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Weights = Mapping[str, Tensor]

_TOP = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj.": "x_embedder.proj.",
    "time_text_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_text_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "time_text_embed.text_embedder.linear_1.": "y_embedder.mlp.0.",
    "time_text_embed.text_embedder.linear_2.": "y_embedder.mlp.2.",
    "proj_out.": "final_layer.linear.",
    "norm_out.linear.": "final_layer.adaLN_modulation.1.",
}
_BLOCK = {
    "attn.to_out.0.": "x_block.attn.proj.",
    "attn.to_add_out.": "context_block.attn.proj.",
    "attn.norm_q.": "x_block.attn.ln_q.",
    "attn.norm_k.": "x_block.attn.ln_k.",
    "attn.norm_added_q.": "context_block.attn.ln_q.",
    "attn.norm_added_k.": "context_block.attn.ln_k.",
    "attn2.to_out.0.": "x_block.attn2.proj.",
    "attn2.norm_q.": "x_block.attn2.ln_q.",
    "attn2.norm_k.": "x_block.attn2.ln_k.",
    "norm1.linear.": "x_block.adaLN_modulation.1.",
    "norm1_context.linear.": "context_block.adaLN_modulation.1.",
    "ff.net.0.proj.": "x_block.mlp.fc1.",
    "ff.net.2.": "x_block.mlp.fc2.",
    "ff_context.net.0.proj.": "context_block.mlp.fc1.",
    "ff_context.net.2.": "context_block.mlp.fc2.",
}
_JOINED = {
    "attn.to_{}.": "x_block.attn.qkv.",
    "attn.add_{}_proj.": "context_block.attn.qkv.",
    "attn2.to_{}.": "x_block.attn2.qkv.",
}


def component(folder: Path, name: str) -> dict[str, Tensor]:
    """All weights of one component of a folder in diffusers format."""
    return {
        key: weight
        for file in sorted((folder / name).glob("*.safetensors"))
        for key, weight in load_file(file).items()
    }


def original_sd3(weights: Weights) -> dict[str, Tensor]:
    """The transformer in the original names: queries, keys and values are one layer there."""
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("transformer_blocks."))
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if block := re.match(r"transformer_blocks\.(\d+)\.(.*)", name):
            number, rest = block[1], block[2]
            for form, joined in _JOINED.items():
                if rest.startswith(form.format("q")):
                    end = rest.removeprefix(form.format("q"))
                    parts = [weights[f"transformer_blocks.{number}.{form.format(k)}{end}"] for k in "qkv"]
                    found[f"joint_blocks.{number}.{joined}{end}"] = torch.cat(parts)
            for ours, theirs in _BLOCK.items():
                if rest.startswith(ours):
                    if ours == "norm1_context.linear." and int(number) == last:
                        weight = _swapped(weight)
                    found[f"joint_blocks.{number}.{theirs}{rest.removeprefix(ours)}"] = weight
            continue
        for ours, theirs in _TOP.items():
            if name.startswith(ours):
                swap = _swapped(weight) if ours.startswith("norm_out") else weight
                found[theirs + name.removeprefix(ours)] = swap
                break
        else:
            found[name] = weight
    return found


def original_vae(weights: Weights) -> dict[str, Tensor]:
    """The autoencoder in the names of latent diffusion: attention is made of 1x1 convolutions there."""
    ups = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("decoder.up_blocks."))
    found = {}
    for name, weight in weights.items():
        up = re.match(r"decoder\.up_blocks\.(\d+)\.(.*)", name)
        new = f"decoder.up.{ups - 1 - int(up[1])}.{up[2]}" if up else name.replace("down_blocks", "down")
        for ours, theirs in (
            (".resnets.", ".block."),
            ("mid_block.block.0.", "mid.block_1."),
            ("mid_block.block.1.", "mid.block_2."),
            ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
            ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
            ("mid_block.attentions.0.to_", "mid.attn_1."),
            ("conv_shortcut", "nin_shortcut"),
            ("downsamplers.0.conv", "downsample.conv"),
            ("upsamplers.0.conv", "upsample.conv"),
            ("conv_norm_out", "norm_out"),
        ):
            new = new.replace(ours, theirs)
        if "attn_1" in new and weight.ndim == 2:
            weight = weight[:, :, None, None]
        found[new] = weight
    return found


def write_sd3_file(file: Path, folder: Path, *, parts: str = "transformer", prefix: bool = True) -> Path:
    """A checkpoint's transformer, or `all` that it holds, in one file of original names."""
    start = "model.diffusion_model." if prefix else ""
    weights = {
        start + name: weight for name, weight in original_sd3(component(folder, "transformer")).items()
    }
    if parts == "all":
        for name, weight in original_vae(component(folder, "vae")).items():
            weights[f"first_stage_model.{name}"] = weight
        for name, encoder in (
            ("text_encoder", "clip_l"),
            ("text_encoder_2", "clip_g"),
            ("text_encoder_3", "t5xxl"),
        ):
            for key, weight in component(folder, name).items():
                weights[f"text_encoders.{encoder}.transformer.{key}"] = weight
    save_file({name: weight.contiguous() for name, weight in weights.items()}, file)
    return file


def write_sd3_gguf(file: Path, folder: Path, *, quantised: bool) -> Path:
    """The transformer as a GGUF file: matrices in Q8_0 where they divide into blocks, all else in float32."""
    import gguf

    writer = gguf.GGUFWriter(str(file), "sd3")
    for name, weight in original_sd3(component(folder, "transformer")).items():
        values = weight.float().numpy()
        if quantised and values.ndim == 2 and values.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _swapped(weight: Tensor) -> Tensor:
    """Shift and scale in each other's place."""
    first, second = weight.chunk(2, dim=0)
    return torch.cat([second, first], dim=0)
