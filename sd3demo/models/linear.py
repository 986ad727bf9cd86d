"""Linear layers as the sampling loop calls them: weights in the layout that the processor multiplies fastest.

On an x86 CPU oneDNN multiplies matrices of an MM-DiT's sizes about a fifth faster than the library behind
`torch.nn.functional.linear`, when it may store the weights in blocks of its own, and applies a GELU on the
way at no cost. These are the operators that `torch.compile` emits there; calling them costs no compilation.
"""

import platform
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

PACKED_BELOW = (
    500_000_000  # parameters of a network: packed weights are copies, which large models cannot afford
)


@dataclass(frozen=True, eq=False)
class Linear:
    """x W^T + b, with a GELU after it where `activated`; `packed` says in whose layout W is."""

    weight: Tensor
    bias: Tensor
    packed: bool = False
    activated: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            kind, how = ("gelu", "tanh") if self.activated else ("none", "")
            out: Tensor = torch.ops.mkldnn._linear_pointwise(
                x.contiguous(), self.weight, self.bias, kind, [], how
            )
            return out
        out = linear(x, self.weight, self.bias)
        return gelu(out, approximate="tanh") if self.activated else out


def can_pack(network: nn.Module) -> bool:
    """Whether a network is small enough, and its processor has the operators."""
    weight = next(network.parameters())
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and sum(each.numel() for each in network.parameters()) < PACKED_BELOW
    )


def joined(layers: tuple[nn.Linear, ...], *, pack: bool, activated: bool = False) -> tuple[Linear, ...]:
    """Layers of one input: as one where they may be copied, else one by one."""
    if not pack:
        return tuple(Linear(layer.weight, layer.bias, activated=activated) for layer in layers)
    weight = torch.cat([layer.weight.detach() for layer in layers])
    bias = torch.cat([layer.bias.detach() for layer in layers])
    blocked = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return (Linear(blocked, bias, packed=True, activated=activated),)
