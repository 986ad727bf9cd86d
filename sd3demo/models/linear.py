"""Linear layers as the sampling loop calls them: weights in the layout that the processor multiplies fastest.

On an x86 CPU oneDNN multiplies matrices of an MM-DiT's sizes about a fifth faster than the library behind
`torch.nn.functional.linear`, when it may store the weights in blocks of its own, and applies a GELU on the
way at no cost. These are the operators that `torch.compile` emits there; calling them costs no compilation.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from sd3demo.models.lora import adapted, fused_weight, fusible

PACKED_BELOW = (
    500_000_000  # parameters of a network: packed weights are copies, which large models cannot afford
)


class LinearLayer(Protocol):
    """x W^T + b, with a GELU after it where the network has one."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class PackedLinear:
    """A layer whose weight is in oneDNN's own layout."""

    weight: Tensor
    bias: Tensor
    activated: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        kind, how = ("gelu", "tanh") if self.activated else ("none", "")
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.contiguous(), self.weight, self.bias, kind, [], how
        )
        return out


@dataclass(frozen=True, eq=False)
class PlainLinear:
    """A layer whose weight is a module's own parameter, wherever that is moved."""

    weight: Tensor
    bias: Tensor
    activated: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        out = linear(x, self.weight, self.bias)
        return gelu(out, approximate="tanh") if self.activated else out


@dataclass(frozen=True, eq=False)
class AdaptedLinear:
    """A layer under an adapter or in fewer bits, called as it is: its weight alone is not what it does."""

    layer: Callable[[Tensor], Tensor]
    activated: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return gelu(out, approximate="tanh") if self.activated else out


def can_pack(network: nn.Module) -> bool:
    """Whether a network is small enough, its adapters can be fused, and its processor has the operators."""
    weight = next(network.parameters())
    return (
        weight.device.type == "cpu"
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and _has_bfloat16()))
        and sum(each.numel() for each in network.parameters()) < PACKED_BELOW
        and fusible(network)
        and not any(quantised(layer) for layer in network.modules())
    )


def quantised(layer: nn.Module) -> bool:
    """Whether a linear layer's weight is in fewer bits: of a library's own class, or a tensor of one."""
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Linear) or not isinstance(weight, Tensor):
        return False
    return type(layer) is not nn.Linear or hasattr(weight, "__tensor_flatten__")


def _has_bfloat16() -> bool:
    """Whether oneDNN has bfloat16 products on this processor; without AVX-512 it refuses them."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def joined(layers: tuple[nn.Linear, ...], *, pack: bool, activated: bool = False) -> tuple[LinearLayer, ...]:
    """Layers of one input: as one, LoRAs fused, where they may be copied, else one by one."""
    if not pack:
        return tuple(
            AdaptedLinear(layer, activated)
            if adapted(layer) or quantised(layer)
            else PlainLinear(layer.weight, layer.bias, activated)
            for layer in layers
        )
    weight = torch.cat([fused_weight(layer).detach() for layer in layers])
    bias = torch.cat([layer.bias.detach() for layer in layers])
    blocked = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return (PackedLinear(blocked, bias, activated),)
