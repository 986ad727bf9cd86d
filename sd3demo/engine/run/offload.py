"""Carrying a placement out: which hooks bring a model's weights to the device, and when.

Resident: everything is moved once. By model: accelerate's hooks move a part in when it is called and the one
before it out. Streamed: diffusers' group offloading brings the blocks of the large parts one at a time. A
model is placed once; another placement loads it anew, which keeps hooks from piling up.
"""

import torch
from accelerate import cpu_offload_with_hook
from diffusers.hooks import apply_group_offloading
from torch import nn

from sd3demo.engine.plan.memory import Placement
from sd3demo.models.protocol import FlowModel

CPU = torch.device("cpu")


def place(model: FlowModel, placement: Placement, device: torch.device) -> None:
    """Puts the parts of a model where the placement wants them, or hooks that will."""
    modules = [*model.parts.get("text", nn.ModuleList()).children()]
    modules += [model.parts[part] for part in ("flow", "vae") if part in model.parts]
    match placement:
        case "resident":
            for module in modules:
                module.to(device)
        case "by-model":
            _by_model(modules, device)
        case "streamed":
            for module in modules:
                _stream(module, device)


def _by_model(modules: list[nn.Module], device: torch.device) -> None:
    """Each in its turn, in the order of a run; the first to come again sends the last away."""
    before = None
    hooks = []
    for module in modules:
        _, before = cpu_offload_with_hook(module, device, before)
        hooks.append(before)
    if hooks:
        hooks[0].hook.prev_module_hook = hooks[-1]


def _stream(module: nn.Module, device: torch.device) -> None:
    """A few blocks at a time. On a CUDA device the next group is fetched while one is at work."""
    whole_blocks = hasattr(module, "transformer_blocks")
    apply_group_offloading(
        module,
        onload_device=device,
        offload_device=CPU,
        offload_type="block_level" if whole_blocks else "leaf_level",
        num_blocks_per_group=1 if whole_blocks else None,
        use_stream=device.type == "cuda",
    )
