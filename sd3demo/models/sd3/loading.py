"""Reading an SD3 checkpoint's folder into modules."""

from functools import partial
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from sd3demo.catalogue import ModelSpec, TextEncoder
from sd3demo.catalogue.tokenizer_files import folder_of_tokenizer
from sd3demo.models.encoding import read_t5
from sd3demo.models.reading import read_configured, without_progress_bars
from sd3demo.models.sd3.adapter import SD3
from sd3demo.models.sd3.text_encoders import CLIPS, ClipEncoder, ClipWidths, LoadedEncoder
from sd3demo.models.single_file import read_component


def load(spec: ModelSpec, folder: Path, dtype: torch.dtype, components: frozenset[str]) -> SD3:
    """The checkpoint on the CPU: the transformer, the VAE, and the text encoders among the components.

    Raises Refusal for pickled, truncated, incomplete or mismatched files.
    """
    with without_progress_bars():
        model = SD3(
            spec=spec,
            transformer=cast(
                SD3Transformer2DModel,
                read_component(SD3Transformer2DModel, spec, folder, "transformer", dtype),
            ),
            vae=cast(AutoencoderKL, read_component(AutoencoderKL, spec, folder, "vae", dtype)),
            widths={name: _widths(folder / spec.encoder(name).folder) for name in CLIPS},
            read_encoder=partial(read_encoder, spec, folder, dtype),
            dtype=dtype,
        )
        model.load(components)
    return model


def read_encoder(spec: ModelSpec, folder: Path, dtype: torch.dtype, encoder: TextEncoder) -> LoadedEncoder:
    """One text encoder of a checkpoint with its tokenizer, on the CPU. Raises Refusal as `load` does."""
    part = encoder.folder
    words = folder / folder_of_tokenizer(part)
    with without_progress_bars():
        if encoder.name == "t5":
            return read_t5(spec, folder, dtype, encoder)
        clip = cast(
            CLIPTextModelWithProjection,
            read_component(CLIPTextModelWithProjection, spec, folder, part, dtype),
        )
        return ClipEncoder(clip, cast(CLIPTokenizer, read_configured(CLIPTokenizer, words)))


def _widths(folder: Path) -> ClipWidths:
    """What an encoder's zeros are sized by; needs its config alone."""
    config = cast(CLIPTextConfig, read_configured(CLIPTextConfig, folder))
    return ClipWidths(token=config.hidden_size, pooled=config.projection_dim)
