"""What training computes in: bfloat16 where the device multiplies matrices in it, else float32."""

from __future__ import annotations

import torch


def mixed(device: torch.device) -> torch.autocast:
    """A context of bfloat16 products, or of none: a CPU without them is many times slower at them."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu" or multiplies_bfloat16())


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
