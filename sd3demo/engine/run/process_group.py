"""The processes that torchrun started, joined: each has a device of its own and a share of the tokens."""

import os

import torch
from torch import distributed

from sd3demo.engine.plan.ranks import world_size


def join_process_group(device: torch.device) -> torch.device:
    """The device of this process, after all have met: its own GPU, or the CPU."""
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        # lengths are told over gloo, which needs no GPU to wait
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, world_size=world_size())
    return device
