"""Weights that hooks bring to the device and take away: what whoever reads them has to know."""

import torch
from diffusers.hooks.group_offloading import GroupOffloadingHook
from torch import nn

GROUP_OFFLOADING = "group_offloading"  # under which name diffusers registers the hook


def bring(module: nn.Module) -> None:
    """Let a module's offload hook, if it has one, put it on the device.

    Such hooks run before `forward`; what reads a module's weights without calling it has to ask.
    """
    if not stays(module):
        module._hf_hook.pre_forward(module)  # type: ignore[operator, union-attr]


def stays(module: nn.Module) -> bool:
    """Whether no hook of accelerate's moves a module's weights between runs."""
    return not hasattr(module, "_hf_hook")


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
