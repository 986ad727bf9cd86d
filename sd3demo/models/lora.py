"""LoRA layers (Hu et al., 2021) as PEFT wraps them: what they add to a linear layer's weight.

A wrapped layer has the original as `base_layer` and answers `.weight` with that one's, so whoever reads a
weight instead of calling the layer would lose the LoRA without an error. PEFT itself is not imported here.
"""

from typing import cast

import torch
from torch import Tensor, nn


def adapted(layer: nn.Module) -> bool:
    """Whether a layer is wrapped in an adapter."""
    return hasattr(layer, "base_layer")


def fused_weight(layer: nn.Module) -> Tensor:
    """The weight of a linear layer with all LoRAs that act on it; without any, the parameter itself.

    They are summed in float32 at least and rounded once.
    """
    weight = cast(Tensor, layer.weight)
    names = _acting(layer)
    if not names:
        return weight
    wide = torch.promote_types(weight.dtype, torch.float32)
    total = weight.detach().to(wide)
    for name in names:
        total = total + layer.get_delta_weight(name).detach().to(weight.device, wide)  # type: ignore[operator]
    return total.to(weight.dtype)


def fusible(network: nn.Module) -> bool:
    """Whether the adapters of all linear layers of a network are sums on their weights.

    DoRA, LoRAs with a bias and adapters of other kinds are not: their layers have to be called.
    """
    return all(
        _adds_to_weight(layer, name)
        for layer in network.modules()
        if isinstance(getattr(layer, "base_layer", None), nn.Linear)
        for name in _acting(layer)
    )


def lora_state(network: nn.Module) -> tuple[object, ...]:
    """What the fused weights of a network depend on, beside the weights: which LoRAs act, and how much."""
    return tuple(
        (name, adapter, getattr(layer, "scaling", {}).get(adapter))
        for name, layer in network.named_modules()
        if adapted(layer)
        for adapter in _acting(layer)
    )


def _adds_to_weight(layer: nn.Module, name: str) -> bool:
    variants, biases = getattr(layer, "lora_variant", {}), getattr(layer, "lora_bias", {})
    return hasattr(layer, "lora_A") and not variants.get(name) and not biases.get(name)


def _acting(layer: nn.Module) -> list[str]:
    """The adapters that act on a layer and are not merged into its base already."""
    if not adapted(layer) or getattr(layer, "disable_adapters", False):
        return []
    active = cast("list[str]", getattr(layer, "active_adapters", []))
    merged = cast("list[str]", getattr(layer, "merged_adapters", []))
    own = getattr(layer, "scaling", None)
    return [name for name in active if name not in merged and (own is None or name in own)]
