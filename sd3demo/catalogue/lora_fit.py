"""Whether LoRAs fit a model, and the model with them on it. No torch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sd3demo.catalogue.entries import locate
from sd3demo.catalogue.file_kinds import PART_PREFIXES
from sd3demo.catalogue.lora_files import (
    LoraFile,
    LoraLayer,
    asked_loras,
    offered_lora,
    read_lora,
    title_of,
)
from sd3demo.catalogue.lora_names import Target
from sd3demo.catalogue.lora_text_names import encoder_of, plain_text_layer
from sd3demo.catalogue.spec import Adapter, ModelSpec, TextEncoder
from sd3demo.catalogue.weight_files import read_header, weight_files
from sd3demo.errors import Refusal

WeightShapes = Mapping[str, tuple[int, ...]]


def adapted_spec(spec: ModelSpec, text: str) -> ModelSpec:
    """The model with the LoRAs of a text. Raises Refusal for one that is absent, damaged or does not fit."""
    adapters = []
    for each in asked_loras(text):
        path = offered_lora(each.name) or Path(each.name).expanduser()
        if not path.is_file():
            raise Refusal(f"lora is {each.name}, which is no file here; give a LoRA's .safetensors file")
        lora = read_lora(path)
        left_out = check_lora(lora, spec)
        short = replace(each, name=path.name).short
        adapters.append(Adapter(lora.sha256, each.weight, str(path), short, left_out))
    return replace(spec, adapters=tuple(adapters))


def check_lora(lora: LoraFile, spec: ModelSpec) -> tuple[str, ...]:
    """Raises Refusal for a LoRA that changes layers which a model does not have, or has in other shapes.

    Returns the titles of the text encoders that it changes and the checkpoint does not carry.
    """
    if not spec.can.lora:
        raise Refusal(f"lora is {lora.path}; {spec.name} takes no LoRA here: leave it out")
    if lora.family and lora.family != spec.family:
        raise Refusal(
            f"lora is {lora.path}, which is for {title_of(lora.family)}; {spec.name} is {spec.family_title}"
        )
    left_out: dict[str, bool] = {}
    shapes: dict[str, WeightShapes | None] = {}
    for layer in lora.layers:
        for target in layer.targets:
            component, title = "transformer", ""
            if layer.encoder:
                encoder = _encoder(lora, layer, target, spec)
                if not spec.has(encoder.name):
                    left_out[encoder.title] = True
                    continue
                component, title = encoder.folder, encoder.title
            if component not in shapes:
                _check_bits(lora, component, spec)
                shapes[component] = _weights_of(spec, component)
            known = shapes[component]
            if known is not None:
                _check_shape(lora, layer, target, known, spec, title)
            elif target.module.endswith(".attn.to_q") and layer.inputs != spec.network.hidden:
                raise Refusal(_other_width(lora, layer.inputs, spec))
    if left_out and not shapes:
        raise Refusal(
            f"lora is {lora.path}, which changes {' and '.join(left_out)} alone; {spec.name} is without: "
            "leave it out"
        )
    return tuple(left_out)


def _encoder(lora: LoraFile, layer: LoraLayer, target: Target, spec: ModelSpec) -> TextEncoder:
    encoder = encoder_of(layer.encoder, target.module, spec)
    if encoder is None:
        raise Refusal(
            f"lora is {lora.path}, which changes {layer.encoder}{target.module}; {spec.name} has no such "
            "text encoder: it is for another model"
        )
    return encoder


def _check_bits(lora: LoraFile, component: str, spec: ModelSpec) -> None:
    """Raises Refusal where a LoRA would change weights of few bits, on which none is put here."""
    if quantiser := spec.quantiser(component):
        raise Refusal(
            f"lora is {lora.path}, and the {component} of {spec.name} is quantised by {quantiser}, on which "
            "no LoRA is put here; give the model with its weights in 16 bits"
        )
    large = any(each.folder == component and each.large for each in spec.encoders)
    if large and spec.large_encoder.precision == "int4":
        raise Refusal(
            f"lora is {lora.path}, which changes {component}, and large_encoder is int4, on which no LoRA is "
            "put here; choose int8 or bfloat16"
        )


def _check_shape(
    lora: LoraFile, layer: LoraLayer, target: Target, shapes: WeightShapes, spec: ModelSpec, title: str
) -> None:
    rows = sum(end - start for start, end in target.rows)
    shape = shapes.get(f"{target.module}.weight")
    of = f"{spec.name}'s {title}" if title else spec.name
    if shape is None:
        raise Refusal(
            f"lora is {lora.path}, which changes {target.module}; {of} has no such layer: it is for another "
            "model"
        )
    if math.prod(shape) != rows * layer.inputs or shape[0] != rows:
        raise Refusal(
            f"lora is {lora.path}, which makes {target.module} {rows} x {layer.inputs}; it is "
            f"{' x '.join(map(str, shape))} in {of}: it is for another model"
        )


def _other_width(lora: LoraFile, inputs: int, spec: ModelSpec) -> str:
    return (
        f"lora is {lora.path}, whose layers are {inputs} wide; those of {spec.name} are "
        f"{spec.network.hidden}: it is for another model"
    )


def _weights_of(spec: ModelSpec, component: str) -> WeightShapes | None:
    """The shapes of a component's weights in the names of LoRAs; None where no such files are here."""
    of_text = component != "transformer"
    try:
        if component not in spec.in_file:
            headers = [read_header(file) for file in weight_files(locate(spec) / spec.folder_of(component))]
        elif of_text:
            prefixes = PART_PREFIXES[spec.family][component]
            whole = read_header(Path(spec.file))
            headers = [{name: entry for name, entry in whole.items() if name.startswith(prefixes)}]
        else:
            return None
    except Refusal:
        return None
    shapes = {name: tuple(entry["shape"]) for header in headers for name, entry in header.items()}
    if not of_text:
        return shapes
    return {f"{plain_text_layer(name)}.weight": shape for name, shape in shapes.items()}
