"""Carrying a placement out: which hooks bring a model's weights to the device, and when.

Resident: everything is moved once. By model: accelerate's hooks move a part in when it is called and the one
before it out. Streamed: diffusers' group offloading brings the blocks of the large parts one at a time. A
model has one placement; another one loads it anew, which keeps hooks from piling up.
"""

from collections.abc import Iterator, Sequence

import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import remove_hook_from_module
from diffusers import ModelMixin
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn

from sd3demo.engine.plan.memory import Placement
from sd3demo.models.protocol import FlowModel

CPU = torch.device("cpu")
BLOCKS = ("transformer_blocks", "layers")
"""What the networks of the families call their list of blocks."""


def place(
    model: FlowModel, placement: Placement, device: torch.device, *, new: Sequence[nn.Module] | None = None
) -> None:
    """Put the parts of a model where the placement wants them, or hooks that will.

    `new` are the modules that were loaded since; None is all of them.
    """
    modules = text_encoders_to_place(model)
    modules += [model.parts[part] for part in ("flow", "vae") if part in model.parts]
    match placement:
        case "resident":
            for module in modules:
                if any(each.device.type != device.type for each in module.parameters()):
                    module.to(device)  # what a library put there itself may not be moved
        case "by-model":
            _by_model(modules, device)
        case "streamed":
            for module in modules:
                if new is None or module in new:
                    _stream(module, device)


def text_encoders_to_place(model: FlowModel) -> list[nn.Module]:
    """The text encoders that are loaded, but for those that run on the CPU and stay there."""
    modules = [*model.parts.get("text", nn.ModuleList()).children()]
    if model.spec.large_encoder.device != "cpu":
        return modules
    loaded = [each for each in model.spec.encoders if each.folder in model.components]
    return [module for module, encoder in zip(modules, loaded, strict=True) if not encoder.large]


def _by_model(modules: list[nn.Module], device: torch.device) -> None:
    """Each in its turn, in the order of a run; the first to come again sends the last away."""
    before = None
    hooks = []
    for module in modules:
        remove_hook_from_module(module)  # of an earlier placing, before a part was added
        _, before = cpu_offload_with_hook(module, device, before)
        hooks.append(before)
    if hooks:
        hooks[0].hook.prev_module_hook = hooks[-1]


def _stream(module: nn.Module, device: torch.device) -> None:
    """A few blocks at a time. On a CUDA device the next group is fetched while one is at work."""
    whole_blocks = isinstance(module, ModelMixin) and any(hasattr(module, name) for name in BLOCKS)
    apply_group_offloading(
        module,
        onload_device=device,
        offload_device=CPU,
        offload_type="block_level" if whole_blocks else "leaf_level",
        num_blocks_per_group=1 if whole_blocks else None,
        use_stream=device.type == "cuda",
    )


def hand_back(device: torch.device) -> None:
    """Give the memory of a model that was dropped back to the system, as far as the allocator can."""
    import ctypes
    import gc
    import sys

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def bytes_held(model: FlowModel, device: torch.device) -> int:
    """Bytes that a model's weights take on the device; on a CUDA device what torch has reserved there."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    seen = {
        plain.data_ptr(): plain.numel() * plain.element_size()
        for module in model.parts.values()
        for tensor in (*module.parameters(), *module.buffers())
        for plain in stored(tensor)
    }
    return sum(seen.values())


def stored(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that hold a tensor's numbers: of one in few bits its integers and their scales."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        yield from stored(getattr(tensor, name))
