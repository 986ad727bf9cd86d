"""Models in fewer bits: what a request asks of T5 or Gemma, and what quantised folders need."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

from sd3demo.catalogue import LargeEncoder, ModelSpec
from sd3demo.engine.plan.memory import Budget
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from sd3demo.settings.large_encoder import LARGE_ENCODERS


def with_large_encoder(request: Request, spec: ModelSpec, budget: Budget) -> ModelSpec:
    """The model that a request is run on. Raises Refusal where a library or the device is missing."""
    _check_quantised(request, spec, budget)
    chosen = LARGE_ENCODERS[request.large_encoder]
    large = [each for each in spec.encoders if each.large and spec.has(each.name)]
    if chosen == LargeEncoder() or not large:
        return spec
    quantised = [each for each in large if spec.quantiser(each.folder)]
    if chosen.precision != "auto" and quantised:
        raise Refusal(
            f"large_encoder is {request.large_encoder}, and the folder's {quantised[0].title} is quantised "
            f"by {spec.quantiser(quantised[0].folder)} already; leave it at auto"
        )
    if chosen.precision == "int8" and find_spec("torchao") is None:
        raise Refusal(
            f"large_encoder is {request.large_encoder}, which needs the library torchao: run "
            "`pip install 'sd3demo[int8]'`, or choose bfloat16"
        )
    if chosen.precision == "int4":
        _check_int4(spec, budget)
    if budget.device == "cpu":
        chosen = replace(chosen, device="auto")  # it is there already
    return replace(spec, large_encoder=chosen)


def _check_quantised(request: Request, spec: ModelSpec, budget: Budget) -> None:
    """Raises Refusal where a quantised folder cannot run on the device, or not where it is asked to."""
    for name, library in spec.quantised:
        if library == "bitsandbytes" and budget.device != "cuda":
            raise Refusal(
                f"{spec.folder}/{name} is quantised by bitsandbytes, which runs on a CUDA device alone; use "
                "the folder with its weights in 16 bits, or a GGUF file of the transformer"
            )
        if library == "bitsandbytes" and request.placement not in ("auto", "resident"):
            raise Refusal(
                f"placement is {request.placement}; weights of bitsandbytes stay on the device: leave it at "
                "auto"
            )


def _check_int4(spec: ModelSpec, budget: Budget) -> None:
    if budget.device != "cuda":
        raise Refusal("large_encoder is int4, which runs on a CUDA device alone; choose int8 or bfloat16")
    if find_spec("bitsandbytes") is None:
        raise Refusal(
            "large_encoder is int4, which needs the library bitsandbytes: run `pip install "
            "'sd3demo[int4]'`, or choose int8 or bfloat16"
        )
    inside = [each.title for each in spec.encoders if each.large and each.folder in spec.in_file]
    if inside:
        raise Refusal(
            f"large_encoder is int4, and {inside[0]} lies in {spec.file}, which is not read in 4 bits; "
            "choose int8 or bfloat16"
        )


def large_encoder_notes(request: Request, budget: Budget) -> Iterator[str]:
    """What of the setting changes nothing on this device."""
    if budget.device == "cpu" and LARGE_ENCODERS[request.large_encoder].device == "cpu":
        yield f"large_encoder is {request.large_encoder}, and the whole run is on the CPU"
