"""A component out of a file that holds several, or a transformer as GGUF, by diffusers' single-file loaders.

Their configs are given from this disk, so that nothing is looked up on the Hub.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import FluxTransformer2DModel, GGUFQuantizationConfig, SD3Transformer2DModel
from diffusers.loaders.single_file_utils import (
    create_diffusers_clip_model_from_ldm,
    create_diffusers_t5_model_from_checkpoint,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import T5EncoderModel

from sd3demo.catalogue import ModelSpec
from sd3demo.catalogue.file_kinds import PART_PREFIXES
from sd3demo.catalogue.single_files import written_config
from sd3demo.errors import Refusal
from sd3demo.models.reading import NONE, Loadable, read_module

TRANSFORMERS = (SD3Transformer2DModel, FluxTransformer2DModel)


def read_component(
    kind: Loadable,
    spec: ModelSpec,
    folder: Path,
    component: str,
    dtype: torch.dtype,
    arguments: Mapping[str, object] = NONE,
) -> nn.Module:
    """A component of a checkpoint on the CPU, out of its file where that holds it, else out of its folder.

    `arguments` go to the library that reads a folder. Raises Refusal for files that cannot be read or lack a
    weight.
    """
    if component not in spec.in_file:
        return read_module(kind, folder / spec.folder_of(component), dtype, arguments)
    try:
        module = _read(cast(Any, kind), spec, folder, component, dtype)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, IndexError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Refusal(f"the {component} in {spec.file} cannot be read: {first}") from error
    missing = [name for name, weight in module.named_parameters() if weight.is_meta]
    if missing:
        raise Refusal(
            f"{spec.file} lacks the weights {missing[0]} and {len(missing) - 1} more of the {component}; "
            "copy it again, whole"
        )
    return module.to(dtype).eval().requires_grad_(False)


def _read(kind: Any, spec: ModelSpec, folder: Path, component: str, dtype: torch.dtype) -> nn.Module:
    if kind in TRANSFORMERS:
        with tempfile.TemporaryDirectory() as place:
            config = str(written_config(spec, Path(place)))
            if Path(spec.file).suffix == ".gguf":
                return _from_gguf(kind, spec.file, config, dtype)
            return _single(kind, _tensors(spec, component), config, dtype)
    weights = _tensors(spec, component)
    if component == "vae":
        return _single(kind, weights, str(folder / component), dtype)
    read: Callable[..., nn.Module] = create_diffusers_clip_model_from_ldm
    if kind is T5EncoderModel:
        read = create_diffusers_t5_model_from_checkpoint
    module = read(
        kind, weights, subfolder=component, config=str(folder), torch_dtype=dtype, local_files_only=True
    )
    cast(Any, module).tie_weights()
    return module


def _single(kind: Any, weights: dict[str, Tensor], config: str, dtype: torch.dtype) -> nn.Module:
    return cast(
        nn.Module, kind.from_single_file(weights, config=config, torch_dtype=dtype, local_files_only=True)
    )


def _from_gguf(kind: Any, file: str, config: str, dtype: torch.dtype) -> nn.Module:
    """The transformer with its quantised weights expanded, so that each layer is an ordinary one."""
    model = kind.from_single_file(
        file,
        config=config,
        torch_dtype=dtype,
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
        local_files_only=True,
    )
    return cast(nn.Module, model.dequantize())


def _tensors(spec: ModelSpec, component: str) -> dict[str, Tensor]:
    """The weights of one component; all of them where the file holds nothing else."""
    prefixes = PART_PREFIXES[spec.family][component]
    with safe_open(spec.file, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefixes)] or list(file.keys())  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}
