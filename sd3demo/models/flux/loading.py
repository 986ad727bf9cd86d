"""Reading a FLUX.1 checkpoint's folder into modules."""

from functools import partial
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from transformers import CLIPTextModel, CLIPTokenizer

from sd3demo.catalogue import ModelSpec, TextEncoder
from sd3demo.catalogue.tokenizer_files import folder_of_tokenizer
from sd3demo.models.encoding import read_t5
from sd3demo.models.flux.adapter import Flux
from sd3demo.models.flux.text_encoders import FluxEncoder, PooledClip
from sd3demo.models.reading import read_configured, without_progress_bars
from sd3demo.models.single_file import read_component


def load(spec: ModelSpec, folder: Path, dtype: torch.dtype, components: frozenset[str]) -> Flux:
    """The checkpoint on the CPU: the transformer, the VAE, and the text encoders among the components.

    Raises Refusal for pickled, truncated, incomplete or mismatched files.
    """
    with without_progress_bars():
        transformer = read_component(FluxTransformer2DModel, spec, folder, "transformer", dtype)
        model = Flux(
            spec=spec,
            transformer=cast(FluxTransformer2DModel, transformer),
            vae=cast(AutoencoderKL, read_component(AutoencoderKL, spec, folder, "vae", dtype)),
            read_encoder=partial(read_encoder, spec, folder, dtype),
            dtype=dtype,
        )
        model.load(components)
    return model


def read_encoder(spec: ModelSpec, folder: Path, dtype: torch.dtype, encoder: TextEncoder) -> FluxEncoder:
    """One text encoder of a checkpoint with its tokenizer, on the CPU. Raises Refusal as `load` does."""
    part = encoder.folder
    words = folder / folder_of_tokenizer(part)
    with without_progress_bars():
        if encoder.name == "t5":
            return read_t5(spec, folder, dtype, encoder)
        clip = cast(CLIPTextModel, read_component(CLIPTextModel, spec, folder, part, dtype))
        return PooledClip(clip, cast(CLIPTokenizer, read_configured(CLIPTokenizer, words)))
