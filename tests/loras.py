"""LoRA files with random numbers, in the names that diffusers, PEFT, kohya and ComfyUI write."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

ATTENTION = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.add_q_proj")
NAMINGS: Mapping[str, tuple[str, str, str, bool]] = {
    "diffusers": ("transformer.", ".lora_A.weight", ".lora_B.weight", False),
    "peft": ("base_model.model.", ".lora_A.weight", ".lora_B.weight", False),
    "old diffusers": ("transformer.", ".lora.down.weight", ".lora.up.weight", False),
    "kohya": ("lora_transformer_", ".lora_down.weight", ".lora_up.weight", True),
}
"""Prefix, the ends of both factors' names, and whether dots are underscores."""


def layers_of(network: nn.Module, ends: Iterable[str] = ATTENTION) -> dict[str, tuple[int, int]]:
    """The linear layers of a network whose names end so, with (out, in)."""
    return {
        name: (layer.out_features, layer.in_features)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and name.endswith(tuple(ends))
    }


def factors_of(
    layers: Mapping[str, tuple[int, int]], *, rank: int = 4, seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Random (down, up) for each layer, large enough to matter."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randn(rank, inputs, generator=random) / inputs**0.5,
            torch.randn(outputs, rank, generator=random) * 0.2,
        )
        for name, (outputs, inputs) in layers.items()
    }


def write_lora(
    file: Path,
    factors: Mapping[str, tuple[Tensor, Tensor]],
    naming: str = "diffusers",
    *,
    alpha: float | None = None,
    more: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write them in a naming; with `alpha` each product counts alpha / rank times."""
    prefix, down_end, up_end, flat = NAMINGS[naming]
    tensors: dict[str, Tensor] = dict(more or {})
    for name, (down, up) in factors.items():
        base = prefix + (name.replace(".", "_") if flat else name)
        tensors |= {f"{base}{down_end}": down.contiguous(), f"{base}{up_end}": up.contiguous()}
        if alpha is not None:
            tensors[f"{base}.alpha"] = torch.tensor(alpha)
    save_file(tensors, file)
    return file


def products(factors: Mapping[str, tuple[Tensor, Tensor]], scale: float = 1.0) -> dict[str, Tensor]:
    """What each layer's weight is changed by."""
    return {name: scale * up @ down for name, (down, up) in factors.items()}
