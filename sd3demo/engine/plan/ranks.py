"""Which of several processes this is, where torchrun started it. No torch."""

import os

from sd3demo.catalogue import ModelSpec
from sd3demo.errors import Refusal
from sd3demo.settings import Request


def world_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def leads() -> bool:
    """Whether this is the process that speaks and writes: the first, or the only one."""
    return world_size() == 1 or os.environ.get("RANK", "0") == "0"


def check_ranks(request: Request, spec: ModelSpec) -> None:
    """Raises Refusal where a run cannot be shared among several devices."""
    if world_size() == 1:
        return
    if not spec.can.context_parallel:
        raise Refusal(
            f"torchrun started {world_size()} processes, and {spec.name} runs on one device; start it "
            "without torchrun"
        )
    if request.placement not in ("auto", "resident"):
        raise Refusal(
            f"placement is {request.placement}; on several devices each holds all weights: leave it at auto"
        )
