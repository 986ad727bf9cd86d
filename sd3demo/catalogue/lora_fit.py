"""Whether LoRAs fit a model, and the model with them on it. No torch."""

import math
from dataclasses import replace
from pathlib import Path

from sd3demo.catalogue.entries import locate
from sd3demo.catalogue.lora_files import LoraFile, asked_loras, offered_lora, read_lora, title_of
from sd3demo.catalogue.spec import Adapter, ModelSpec
from sd3demo.catalogue.weight_files import read_header, weight_files
from sd3demo.errors import Refusal


def adapted_spec(spec: ModelSpec, text: str) -> ModelSpec:
    """The model with the LoRAs of a text. Raises Refusal for one that is absent, damaged or does not fit."""
    adapters = []
    for each in asked_loras(text):
        path = offered_lora(each.name) or Path(each.name).expanduser()
        if not path.is_file():
            raise Refusal(f"lora is {each.name}, which is no file here; give a LoRA's .safetensors file")
        lora = read_lora(path)
        check_lora(lora, spec)
        short = replace(each, name=path.name).short
        adapters.append(Adapter(lora.sha256, each.weight, str(path), short, lora.of_text))
    return replace(spec, adapters=tuple(adapters))


def check_lora(lora: LoraFile, spec: ModelSpec) -> None:
    """Raises Refusal for a LoRA that changes layers which a model does not have, or has in other shapes."""
    if not spec.can.lora:
        raise Refusal(f"lora is {lora.path}; {spec.name} takes no LoRA here: leave it out")
    if lora.family and lora.family != spec.family:
        raise Refusal(
            f"lora is {lora.path}, which is for {title_of(lora.family)}; {spec.name} is {spec.family_title}"
        )
    shapes = _weights_of(spec)
    hidden = spec.network.hidden
    for layer in lora.layers:
        for target in layer.targets:
            rows = sum(end - start for start, end in target.rows)
            if shapes is None:
                if target.module.endswith(".attn.to_q") and layer.inputs != hidden:
                    raise Refusal(_other_width(lora, layer.inputs, spec))
                continue
            shape = shapes.get(f"{target.module}.weight")
            if shape is None:
                raise Refusal(
                    f"lora is {lora.path}, which changes {target.module}; {spec.name} has no such layer: it "
                    "is for another model"
                )
            if math.prod(shape) != rows * layer.inputs or shape[0] != rows:
                raise Refusal(
                    f"lora is {lora.path}, which makes {target.module} {rows} x {layer.inputs}; it is "
                    f"{' x '.join(map(str, shape))} in {spec.name}: it is for another model"
                )


def _other_width(lora: LoraFile, inputs: int, spec: ModelSpec) -> str:
    return (
        f"lora is {lora.path}, whose layers are {inputs} wide; those of {spec.name} are "
        f"{spec.network.hidden}: it is for another model"
    )


def _weights_of(spec: ModelSpec) -> dict[str, tuple[int, ...]] | None:
    """The shapes of the transformer's weights in diffusers' names; None where no such files are here."""
    if "transformer" in spec.in_file:
        return None
    try:
        files = weight_files(locate(spec) / spec.transformer)
        return {name: tuple(entry["shape"]) for file in files for name, entry in read_header(file).items()}
    except Refusal:
        return None
