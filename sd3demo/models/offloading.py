"""Weights that hooks bring to the device and take away, and the network as diffusers calls it for them."""

from collections.abc import Callable, Mapping

import torch
from diffusers import SD3Transformer2DModel
from diffusers.hooks.group_offloading import GroupOffloadingHook
from torch import Tensor, nn

from sd3demo.errors import Refusal
from sd3demo.flow.guidance import Branch, Branches
from sd3demo.flow.solvers import At
from sd3demo.models.protocol import Conditioning, Dials
from sd3demo.models.sd3.modulation import TIME_SCALE

GROUP_OFFLOADING = "group_offloading"  # under which name diffusers registers the hook
STOCK_ONLY = (
    "placement is streamed, under which the network runs as it is; use by-model or resident, or turn "
    "positions to extend, attention to off, text_copies to 1 and half_patch off"
)


def bring(module: nn.Module) -> None:
    """Let a module's offload hook, if it has one, put it on the device.

    Such hooks run before `forward`; what reads a module's weights without calling it has to ask.
    """
    if not stays(module):
        module._hf_hook.pre_forward(module)  # type: ignore[operator, union-attr]


def stays(module: nn.Module) -> bool:
    """Whether no hook of accelerate's moves a module's weights between runs."""
    return not hasattr(module, "_hf_hook")


def stock_branches(
    network: SD3Transformer2DModel, conditionings: Mapping[Branch, Conditioning], dials: Dials
) -> Branches:
    """Velocities by diffusers' own forward, block by block, for weights that hooks bring and take away.

    Raises Refusal where the dials turn the network, which that forward cannot.
    """
    if not dials.toolkit.neutral:
        raise Refusal(STOCK_ONLY)
    call: Callable[..., tuple[Tensor]] = network

    def branches(x: Tensor, at: At, wanted: tuple[Branch, ...]) -> tuple[Tensor, ...]:
        dtype, count = conditionings[wanted[0]].tokens.dtype, len(x)
        out = call(
            hidden_states=x.to(dtype).repeat(len(wanted), 1, 1, 1),
            timestep=torch.full((count * len(wanted),), at.t * TIME_SCALE, device=x.device),
            encoder_hidden_states=torch.cat(
                [conditionings[name].tokens.to(x.device).expand(count, -1, -1) for name in wanted]
            ),
            pooled_projections=torch.cat(
                [conditionings[name].pooled.to(x.device).expand(count, -1) for name in wanted]
            ),
            return_dict=False,
        )[0]
        return out.to(x.dtype).chunk(len(wanted))

    return branches


def works_on(module: nn.Module) -> torch.device:
    """The device on which a module computes, wherever its weights wait meanwhile."""
    hook = streaming_hook(module)
    return next(module.parameters()).device if hook is None else hook.group.onload_device


def streaming_hook(module: nn.Module) -> GroupOffloadingHook | None:
    """The first hook of diffusers' group offloading in a module, which brings blocks as they are called."""
    for inner in module.modules():
        registry = getattr(inner, "_diffusers_hook", None)
        hook = registry.get_hook(GROUP_OFFLOADING) if registry is not None else None
        if hook is not None:
            return hook
    return None
