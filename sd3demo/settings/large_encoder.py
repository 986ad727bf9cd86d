"""T5 or Gemma in fewer bits than the network, or on the CPU: what a request calls each way."""

from collections.abc import Mapping
from typing import Literal

from sd3demo.catalogue import LargeEncoder, ModelSpec

LargeEncoderName = Literal["auto", "bfloat16", "int8", "int4", "cpu", "cpu-bfloat16", "cpu-int8"]

LARGE_ENCODERS: Mapping[LargeEncoderName, LargeEncoder] = {
    "auto": LargeEncoder(),
    "bfloat16": LargeEncoder("bfloat16"),
    "int8": LargeEncoder("int8"),
    "int4": LargeEncoder("int4"),
    "cpu": LargeEncoder(device="cpu"),
    "cpu-bfloat16": LargeEncoder("bfloat16", "cpu"),
    "cpu-int8": LargeEncoder("int8", "cpu"),
}


def idle_encoder(values: Mapping[str, object], spec: ModelSpec) -> dict[str, str]:
    """The reason why the setting changes nothing, where the model has no such encoder or runs none."""
    large = [each for each in spec.encoders if each.large]
    if not large:
        return {"large_encoder": "This model has neither T5 nor Gemma."}
    if spec.components and not any(spec.has(each.name) for each in large):
        return {"large_encoder": f"This model comes without {large[0].title}."}
    if large[0].name == "t5" and values.get("t5") in ("zeros", "omit"):
        return {"large_encoder": "T5 does not run."}
    return {}
