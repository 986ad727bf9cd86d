"""Reading a Lumina-Next checkpoint's folder into modules."""

from functools import partial
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, LuminaNextDiT2DModel
from transformers import GemmaModel

from sd3demo.catalogue import ModelSpec
from sd3demo.models.gemma import read_encoder
from sd3demo.models.lumina_next.adapter import LuminaNext
from sd3demo.models.reading import read_module, without_progress_bars


def load(spec: ModelSpec, folder: Path, dtype: torch.dtype, components: frozenset[str]) -> LuminaNext:
    """The checkpoint on the CPU: the transformer, the VAE, and Gemma where it is among the components.

    Raises Refusal for pickled, truncated, incomplete or mismatched files.
    """
    with without_progress_bars():
        transformer = read_module(LuminaNextDiT2DModel, folder / spec.transformer, dtype)
        model = LuminaNext(
            spec=spec,
            transformer=cast(LuminaNextDiT2DModel, transformer),
            vae=cast(AutoencoderKL, read_module(AutoencoderKL, folder / "vae", dtype)),
            read_encoder=partial(read_encoder, GemmaModel, folder, dtype),
        )
        model.load(components)
    return model
