"""The model of a plan with the LoRAs that a request asks for on it."""

from importlib.util import find_spec

from sd3demo.catalogue import ModelSpec
from sd3demo.catalogue.lora_files import asked_loras
from sd3demo.catalogue.lora_fit import adapted_spec
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Resolved


def with_loras(request: Request, spec: ModelSpec) -> ModelSpec:
    """The model that a request is run on. Raises Refusal for a LoRA that is absent, damaged or for another.

    What a stored request was made with has to be the same again.
    """
    if not request.lora:
        return spec
    wanted = request.lora_sha256.split(",") if isinstance(request, Resolved) and request.lora_sha256 else []
    try:
        adapted = adapted_spec(spec, request.lora)
    except Refusal as error:
        if not wanted:
            raise
        asked = zip(asked_loras(request.lora), wanted, strict=False)
        said = ", ".join(f"{each.short}, SHA-256 {sha256[:12]}.." for each, sha256 in asked)
        raise Refusal(f"{error}; this was made with {said}: give each with --lora FILE") from error
    for each, sha256 in zip(adapted.adapters, wanted, strict=False):
        if each.sha256 != sha256:
            raise Refusal(
                f"lora {each.short} is not the file that this was made with, SHA-256 {sha256[:12]}..; give "
                "it with --lora FILE"
            )
    if find_spec("peft") is None:
        raise Refusal("lora is given, which needs the library peft: run `pip install 'sd3demo[lora]'`")
    return adapted


def lora_notes(spec: ModelSpec) -> tuple[str, ...]:
    """What of the LoRAs is not applied, a sentence each."""
    return tuple(
        f"{each.short.rpartition(':')[0]} also changes {' and '.join(each.left_out)}, which {spec.name} is "
        "without: that part of it is not applied"
        for each in spec.adapters
        if each.left_out
    )
