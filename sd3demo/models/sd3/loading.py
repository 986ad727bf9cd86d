"""Reading an SD3 checkpoint's folder into modules: safetensors only, and nothing missing.

A component whose file lacks a weight would be filled with random numbers by the libraries, with a warning;
here it is refused.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from safetensors import SafetensorError
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5EncoderModel,
    T5Tokenizer,
)

from sd3demo.catalogue import ModelSpec, TextEncoder
from sd3demo.catalogue.weight_files import measure
from sd3demo.errors import Refusal
from sd3demo.models.sd3.adapter import SD3
from sd3demo.models.sd3.text_encoders import CLIPS, ClipEncoder, ClipWidths, LoadedEncoder, T5Encoder


class _Loadable(Protocol):
    def from_pretrained(self, folder: str, /, **settings: object) -> object: ...


def load(spec: ModelSpec, folder: Path, dtype: torch.dtype, components: frozenset[str]) -> SD3:
    """The checkpoint on the CPU: the transformer, the VAE, and the text encoders among the components.

    Raises Refusal for pickled, truncated, incomplete or mismatched files.
    """
    with _without_progress_bars():
        model = SD3(
            spec=spec,
            transformer=cast(
                SD3Transformer2DModel, _module(SD3Transformer2DModel, folder / spec.transformer, dtype)
            ),
            vae=cast(AutoencoderKL, _module(AutoencoderKL, folder / "vae", dtype)),
            widths={name: _widths(folder / spec.encoder(name).folder) for name in CLIPS},
            read_encoder=partial(read_encoder, folder, dtype),
            dtype=dtype,
        )
        model.load(components)
    return model


def read_encoder(folder: Path, dtype: torch.dtype, encoder: TextEncoder) -> LoadedEncoder:
    """One text encoder of a checkpoint with its tokenizer, on the CPU. Raises Refusal as `load` does."""
    weights, words = folder / encoder.folder, folder / encoder.folder.replace("text_encoder", "tokenizer")
    with _without_progress_bars():
        if encoder.name == "t5":
            t5 = cast(T5EncoderModel, _module(T5EncoderModel, weights, dtype))
            return T5Encoder(t5, cast(T5Tokenizer, _configured(T5Tokenizer, words)))
        clip = cast(CLIPTextModelWithProjection, _module(CLIPTextModelWithProjection, weights, dtype))
        return ClipEncoder(clip, cast(CLIPTokenizer, _configured(CLIPTokenizer, words)))


def _widths(folder: Path) -> ClipWidths:
    """What an encoder's zeros are sized by; needs its config alone."""
    config = cast(CLIPTextConfig, _configured(CLIPTextConfig, folder))
    return ClipWidths(token=config.hidden_size, pooled=config.projection_dim)


def _module(kind: _Loadable, folder: Path, dtype: torch.dtype) -> nn.Module:
    measure(folder)  # refuses what is pickled or truncated, before a library opens it
    name = "torch_dtype" if kind in (SD3Transformer2DModel, AutoencoderKL) else "dtype"
    try:
        loaded = kind.from_pretrained(
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **{name: dtype},
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise Refusal(f"{folder} cannot be read: {_first_line(error)}") from error
    module, info = cast("tuple[nn.Module, dict[str, list[str]]]", loaded)
    if info.get("missing_keys"):
        missing = sorted(info["missing_keys"])
        raise Refusal(
            f"{folder} lacks the weights {missing[0]} and {len(missing) - 1} more; copy it again, whole"
        )
    return module.eval().requires_grad_(False)


def _configured(kind: _Loadable, folder: Path) -> object:
    """What is read from a folder without any weights: a tokenizer or a config."""
    try:
        return kind.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise Refusal(f"{folder} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """The libraries draw a bar for each file; what loads is said by the engine's events."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = [(name, logging.getLogger(name).level) for name in ("diffusers", "transformers")]
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    for name, _ in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels:
            logging.getLogger(name).setLevel(level)
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()
