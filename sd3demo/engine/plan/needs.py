"""What stages need together: operations, memory by phase, calls of the text encoders. Pure."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sd3demo.catalogue import Encoder, ModelSpec
from sd3demo.engine.plan.costs import (
    BFLOAT16,
    FLOAT32,
    decoder_activations,
    decoder_flops,
    decoder_scale,
    image_tokens,
    network_activations,
    text_tokens,
)
from sd3demo.engine.plan.memory import PHASES, Demand, Phase
from sd3demo.engine.plan.stages import Stage
from sd3demo.settings import Resolved

Stages: TypeAlias = Sequence[Stage]


def encoder_calls(request: Resolved, spec: ModelSpec, stages: Stages) -> int:
    """Text encoders that will run, at most."""
    modes: Mapping[Encoder, str] = {"clip_l": request.clip_l, "clip_g": request.clip_g, "t5": request.t5}
    running = sum(spec.has(encoder) and mode in ("on", "empty") for encoder, mode in modes.items())
    return running * _branches(stages)


def _branches(stages: Stages) -> int:
    return max(stage.branches for stage in stages)


def operations(request: Resolved, spec: ModelSpec, stages: Stages) -> dict[Phase, float]:
    """Operations of each phase; lifts count with the autoencoder's other work."""
    text, count = text_tokens(request, spec), request.count
    decoded = sum(stage.width * stage.height for stage in stages if stage.kind == "flow")
    lifted = sum(stage.flops for stage in stages if stage.kind == "lift")
    return {
        "encode": 2.0 * spec.size("text").parameters * text * _branches(stages),
        "flow": sum(stage.flops for stage in stages if stage.kind == "flow") * count,
        "decode": (decoder_flops(decoded) * decoder_scale(spec) + lifted) * count,
    }


def demands(request: Resolved, spec: ModelSpec, stages: Stages) -> dict[Phase, Demand]:
    """What each phase holds in memory: the largest stage decides."""
    width = FLOAT32 if request.precision == "float32" else BFLOAT16
    flows = [stage for stage in stages if stage.kind == "flow"] or stages
    largest = max(flows, key=lambda stage: stage.width * stage.height)
    text, image = text_tokens(request, spec), image_tokens(spec, largest.width, largest.height)
    batch = request.count * (2 if request.cfg != 1 else 1)
    activations: dict[Phase, int] = {
        "encode": text * spec.network.joint_dim * 20 * width,
        "flow": network_activations(spec.network, image, text, batch, width),
        "decode": int(decoder_activations(largest.width * largest.height, width) * decoder_scale(spec)),
    }
    return {
        phase: Demand(spec.size(part).parameters * width, activations[phase])
        for phase, part in PHASES.items()
    }
