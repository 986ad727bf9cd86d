"""Reading a Lumina-Image 2.0 checkpoint's folder into modules."""

from functools import partial
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, Lumina2Transformer2DModel
from transformers import Gemma2Model

from sd3demo.catalogue import ModelSpec
from sd3demo.models.gemma import read_encoder
from sd3demo.models.lumina2.adapter import Lumina2
from sd3demo.models.reading import read_module, without_progress_bars


def load(spec: ModelSpec, folder: Path, dtype: torch.dtype, components: frozenset[str]) -> Lumina2:
    """The checkpoint on the CPU: the transformer, the VAE, and Gemma 2 where it is among the components.

    Raises Refusal for pickled, truncated, incomplete or mismatched files.
    """
    with without_progress_bars():
        transformer = read_module(Lumina2Transformer2DModel, folder / spec.transformer, dtype)
        model = Lumina2(
            spec=spec,
            transformer=cast(Lumina2Transformer2DModel, transformer),
            vae=cast(AutoencoderKL, read_module(AutoencoderKL, folder / "vae", dtype)),
            read_encoder=partial(read_encoder, Gemma2Model, folder, dtype),
        )
        model.load(components)
    return model
