"""What the stages of a run cost together: operations and memory by phase, calls of the text encoders. Pure.

What a call of the network costs is its family's business (`catalogue.networks`); here it is multiplied and
added up.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sd3demo.catalogue import EncoderInput, ModelSpec
from sd3demo.catalogue.spec import COMPONENTS
from sd3demo.engine.plan.memory import PHASES, Demand, Phase
from sd3demo.engine.plan.stages import FlowStage, LiftStage, Stage
from sd3demo.settings import Resolved, text_inputs

Stages: TypeAlias = Sequence[Stage]

FLOAT32, BFLOAT16 = 4, 2  # bytes
LOW_BITS: Mapping[str, float] = {"int8": 1.0, "int4": 4.5 / 8}
"""Bytes of a weight of a product; of int4 with the scale of each block of 64, in float32."""
SD3_VAE = 83_819_683  # parameters of SD3's autoencoder, which the figures below were counted on
TEXT_ACTIVATIONS = 20  # numbers alive at once for each channel of a token in a text encoder


def text_tokens(request: Resolved, spec: ModelSpec) -> int:
    """Tokens of the text as the network reads them."""
    return spec.text_length(text_inputs(request, spec))


def weight_bytes(request: Resolved) -> int:
    """Bytes of a number in the network's arithmetic."""
    return FLOAT32 if request.precision == "float32" else BFLOAT16


def component_bytes(request: Resolved, spec: ModelSpec, name: str) -> int:
    """Bytes of a component's weights as they are read: T5 or Gemma may be in fewer bits than the rest.

    Their embedding is not a product and stays as it is; scales of rows and blocks are counted with the bits.
    """
    if spec.quantiser(name):
        return spec.components[name].bytes  # as they lie in their files
    parameters, width = spec.components[name].parameters, weight_bytes(request)
    encoder = next((each for each in spec.encoders if each.folder == name and each.large), None)
    if encoder is None or spec.large_encoder.precision == "auto":
        return parameters * width
    if spec.large_encoder.precision == "bfloat16":
        return parameters * BFLOAT16
    embedding = min(encoder.vocabulary * spec.network.text_width, parameters)
    return int(embedding * width + (parameters - embedding) * LOW_BITS[spec.large_encoder.precision])


def waits_on_cpu(spec: ModelSpec, name: str) -> bool:
    """Whether a component runs on the CPU, wherever the others are."""
    return spec.large_encoder.device == "cpu" and any(
        each.large for each in spec.encoders if each.folder == name
    )


def decoder_flops(pixels: int) -> float:
    """Operations of SD3's autoencoder for each decoded picture: about 1e7 a pixel, counted at 1024 px."""
    return 1.0e7 * pixels


def decoder_activations(pixels: int, width: int) -> int:
    """Bytes alive at once in the decoder's last stage: three maps of 256 channels at full size."""
    return pixels * 3 * 256 * width


def encoder_flops(pixels: int) -> float:
    """Operations of SD3's autoencoder for each encoded picture: about 4.7e6 a pixel, counted at 1024 px."""
    return 4.7e6 * pixels


def decoder_scale(spec: ModelSpec) -> float:
    """How heavy an autoencoder is beside SD3's, by its parameters."""
    return spec.size("vae").parameters / SD3_VAE


def branch_count(stages: Stages) -> int:
    """The most conditionings that any stage asks the network about."""
    return max((len(stage.branches) for stage in stages if isinstance(stage, FlowStage)), default=1)


def is_guided(stages: Stages) -> bool:
    """Whether the negative text is read beside the prompt."""
    return any(isinstance(stage, FlowStage) and "unconditional" in stage.branches for stage in stages)


def _inputs_read(request: Resolved, spec: ModelSpec, stages: Stages) -> list[EncoderInput]:
    """What is read by text encoders that run: for the prompt, and for the unconditional where it is asked."""
    branches = (False, True) if is_guided(stages) else (False,)
    inputs = [one for negative in branches for one in text_inputs(request, spec, negative=negative)]
    return [each for each in inputs if each.runs and spec.has(each.encoder)]


def encoder_calls(request: Resolved, spec: ModelSpec, stages: Stages) -> int:
    """Text encoders that will run, at most."""
    return len(_inputs_read(request, spec, stages))


def operations(request: Resolved, spec: ModelSpec, stages: Stages) -> dict[Phase, float]:
    """Operations of each phase; lifts count with the autoencoder's other work."""
    count = request.count
    encoded = sum(
        2.0 * spec.components[spec.encoder(each.encoder).folder].parameters * each.tokens
        for each in _inputs_read(request, spec, stages)
    )
    flows = [stage for stage in stages if isinstance(stage, FlowStage)]
    decoded = sum(stage.width * stage.height for stage in flows)
    lifted = sum(stage.flops for stage in stages if isinstance(stage, LiftStage))
    return {
        "encode": encoded,
        "flow": sum(stage.flops for stage in flows) * count,
        "decode": (decoder_flops(decoded) * decoder_scale(spec) + lifted) * count,
    }


def demands(
    request: Resolved, spec: ModelSpec, stages: Stages, components: frozenset[str] | None = None
) -> dict[Phase, Demand]:
    """What each phase holds in memory: the largest stage decides, and the encoders that are read.

    `components` are the folders whose weights are loaded; those that the request needs unless they are given.
    """
    width = weight_bytes(request)
    inputs = text_inputs(request, spec)
    loaded = spec.needed(inputs) if components is None else components
    flows: Stages = [stage for stage in stages if isinstance(stage, FlowStage)]
    largest = max(flows or stages, key=lambda stage: stage.width * stage.height)
    text, image = spec.text_length(inputs), spec.latent.tokens(largest.width, largest.height)
    repeats = largest.toolkit.text_repeats if isinstance(largest, FlowStage) else 1
    batch = request.count * branch_count(stages)
    channels = spec.network.text_width
    activations: dict[Phase, int] = {
        "encode": text * channels * TEXT_ACTIVATIONS * width,
        "flow": spec.network.activations(image, repeats * text, batch, width),
        "decode": int(decoder_activations(largest.width * largest.height, width) * decoder_scale(spec)),
    }
    weights = {
        part: sum(
            component_bytes(request, spec, name)
            for name in loaded & spec.components.keys()
            if COMPONENTS[name] == part and not waits_on_cpu(spec, name)
        )
        for part in PHASES.values()
    }
    evicted = {"flow": spec.network.modulations * width if evicts(spec) else 0}
    return {
        phase: Demand(weights[part], activations[phase], evicted.get(phase, 0))
        for phase, part in PHASES.items()
    }


def evicts(spec: ModelSpec) -> bool:
    """Whether modulations wait on the CPU where parts come and go; weights of a quantiser's stay together."""
    return spec.network.modulations > 0 and not spec.quantiser("transformer")
