"""A Lumina model of either family: Gemma, a transformer called by its family's network call, and a VAE."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import Gemma2Model, GemmaModel

from sd3demo.catalogue import EncoderInput, ModelSpec, Part, TextEncoder
from sd3demo.models.encoding import load_missing, loaded_components, text_modules
from sd3demo.models.gemma import GemmaEncoder, GemmaText, encode, read_encoder
from sd3demo.models.protocol import Conditioning, Dials, Rows
from sd3demo.models.reading import Loadable, read_module, without_progress_bars
from sd3demo.models.vae import decoded, encoded

NetworkCall: TypeAlias = Callable[[Any, Sequence[GemmaText], Dials], Rows]
"""The one call of a family's transformer, of the class that diffusers has for it."""


@dataclass(eq=False)
class Lumina:
    """The parts of a checkpoint, and what they do together. Gemma may come later, by `load`."""

    spec: ModelSpec
    transformer: nn.Module
    vae: AutoencoderKL
    call: NetworkCall
    read_encoder: Callable[[TextEncoder], GemmaEncoder]
    encoders: dict[str, GemmaEncoder] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        return {"text": text_modules(self.spec, self.encoders), "flow": self.transformer, "vae": self.vae}

    @property
    def components(self) -> frozenset[str]:
        return loaded_components(self.spec, self.encoders)

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        return load_missing(self.spec, components, self.encoders, self.read_encoder)

    def encode(self, inputs: tuple[EncoderInput, ...]) -> GemmaText:
        return encode(self.spec, self.encoders, inputs)

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        return self.call(self.transformer, cast("Sequence[GemmaText]", texts), dials)

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return encoded(self.vae, image, noise)

    def to_image(self, latent: Tensor) -> Tensor:
        return decoded(self.vae, latent)


def read_lumina(
    spec: ModelSpec,
    folder: Path,
    dtype: torch.dtype,
    components: frozenset[str],
    *,
    transformer: Loadable,
    gemma: type[GemmaModel] | type[Gemma2Model],
    call: NetworkCall,
) -> Lumina:
    """The checkpoint on the CPU: the transformer, the VAE, and Gemma where it is among the components.

    Raises Refusal for pickled, truncated, incomplete or mismatched files.
    """
    with without_progress_bars():
        model = Lumina(
            spec=spec,
            transformer=read_module(transformer, folder / spec.transformer, dtype),
            vae=cast(AutoencoderKL, read_module(AutoencoderKL, folder / "vae", dtype)),
            call=call,
            read_encoder=partial(read_encoder, gemma, spec.large_encoder, folder, dtype),
        )
        model.load(components)
    return model
