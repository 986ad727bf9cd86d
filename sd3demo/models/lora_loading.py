"""Putting LoRA files on a network and on text encoders as PEFT's layers, and taking them off again.

The layers of a module stay where they are, inside PEFT's: taken off, it is the module that it was, bit
for bit. Names and shapes were checked by the plan (`catalogue.lora_files`).
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sd3demo.catalogue.lora_files import LoraFile, LoraLayer, read_lora
from sd3demo.catalogue.lora_text_names import encoder_of, name_among
from sd3demo.catalogue.spec import Adapter, ModelSpec
from sd3demo.errors import Refusal
from sd3demo.models.lora import adapted
from sd3demo.models.protocol import FlowModel


def adapt(modules: Mapping[str, nn.Module], spec: ModelSpec) -> None:
    """Put a spec's LoRAs, and no others, on these components. Raises Refusal for one that does not fit."""
    for component, module in modules.items():
        apply_loras(module, spec.adapters, spec, component)


def adaptable(model: FlowModel) -> dict[str, nn.Module]:
    """The components of a model that LoRAs can change, as far as they are loaded."""
    loaded = [each.folder for each in model.spec.encoders if each.folder in model.components]
    texts = model.parts.get("text", nn.ModuleList()).children()
    return {"transformer": model.parts["flow"], **dict(zip(loaded, texts, strict=True))}


def apply_loras(
    network: nn.Module,
    adapters: Sequence[Adapter],
    spec: ModelSpec | None = None,
    component: str = "transformer",
) -> None:
    """Put what these LoRAs have for a component on it. Raises Refusal for one that does not fit it."""
    remove_loras(network)
    names = []
    try:
        for place, adapter in enumerate(adapters):
            prefix = f"lora{place}_{adapter.sha256[:12]}"  # by which packed weights know it again
            lora = read_lora(Path(adapter.file))
            layers = [each for each in lora.layers if _component(each, spec) == component]
            names += _add(network, prefix, lora, layers, adapter.weight)
    except Refusal:
        remove_loras(network)
        raise
    for layer in _adapted_layers(network):
        layer.set_adapter([name for name in names if name in layer.scaling])
        layer.requires_grad_(False)
    network.eval()


def remove_loras(network: nn.Module) -> None:
    """Take all LoRAs off a network."""
    for name, layer in [*network.named_modules()]:
        if adapted(layer):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, layer.base_layer)
    if hasattr(network, "peft_config"):
        del network.peft_config


def _component(layer: LoraLayer, spec: ModelSpec | None) -> str:
    """The component that a layer of a file belongs to; empty where the model has none such."""
    if not layer.encoder:
        return "transformer"
    encoder = encoder_of(layer.encoder, layer.targets[0].module, spec) if spec else None
    return encoder.folder if encoder else ""


def _add(
    network: nn.Module, prefix: str, lora: LoraFile, layers: Sequence[LoraLayer], weight: float
) -> list[str]:
    """Add these layers of a file under a name for each of their ranks; returns the names."""
    if not layers:
        return []
    from peft import LoraConfig, inject_adapter_in_model

    known = {name for name, _ in network.named_modules()}
    products = {name_among(known, module): (down, up) for module, down, up in _products(lora, layers)}
    if missing := [module for module in products if not _is_linear(network, module)]:
        raise Refusal(f"lora is {lora.path}, which changes {missing[0]}, which the network does not have")
    names = []
    for rank in sorted({len(down) for down, _ in products.values()}):
        own = {module: pair for module, pair in products.items() if len(pair[0]) == rank}
        name = f"{prefix}_{rank}"
        exact = "|".join(re.escape(module) for module in own)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=f"(?:{exact})", init_lora_weights=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is one already
            inject_adapter_in_model(config, network, adapter_name=name)
        for module, (down, up) in own.items():
            layer = cast(Any, network.get_submodule(module))
            for held, given in ((layer.lora_A[name], down), (layer.lora_B[name], up)):
                if held.weight.shape != given.shape:
                    raise Refusal(
                        f"lora is {lora.path}, which has {module} in other shapes than the network; it is "
                        "for another model"
                    )
                held.to(layer.base_layer.weight.dtype)
                with torch.no_grad():
                    held.weight.copy_(given)
            layer.scaling[name] = weight
        names.append(name)
    return names


def _products(lora: LoraFile, layers: Sequence[LoraLayer]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(layer, down (r, in), up (out, r)) of a file's layers, with alpha / rank in the second."""
    tensors = load_file(lora.path)
    for layer in layers:
        down, up = (tensors[name].float().flatten(1) for name in (layer.down, layer.up))
        if layer.alpha:
            up = up * (tensors[layer.alpha].float().item() / layer.rank)
        for target in layer.targets:
            yield target.module, down, torch.cat([up[start:end] for start, end in target.rows])


def _is_linear(network: nn.Module, name: str) -> bool:
    try:
        module = network.get_submodule(name)
    except AttributeError:
        return False
    return isinstance(getattr(module, "base_layer", module), nn.Linear)


def _adapted_layers(network: nn.Module) -> Iterator[Any]:
    yield from (layer for layer in network.modules() if adapted(layer))
