"""FLUX.1: any folder with a `FluxTransformer2DModel`, behind the project's protocol."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import Tensor, nn

from sd3demo.catalogue import EncoderInput, ModelSpec, Part, TextEncoder
from sd3demo.models.encoding import load_missing, loaded_components, text_modules
from sd3demo.models.flux.network_call import network_call
from sd3demo.models.flux.text_encoders import FluxEncoder, FluxText, encode
from sd3demo.models.protocol import Conditioning, Dials, Rows
from sd3demo.models.vae import decoded, encoded


@dataclass(eq=False)
class Flux:
    """The parts of a checkpoint, and what they do together. Text encoders may come later, by `load`."""

    spec: ModelSpec
    transformer: FluxTransformer2DModel
    vae: AutoencoderKL
    read_encoder: Callable[[TextEncoder], FluxEncoder]
    dtype: torch.dtype
    encoders: dict[str, FluxEncoder] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        text = text_modules(self.spec, self.encoders)
        return {"text": text, "flow": self.transformer, "vae": self.vae}

    @property
    def components(self) -> frozenset[str]:
        return loaded_components(self.spec, self.encoders)

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        return load_missing(self.spec, components, self.encoders, self.read_encoder)

    def encode(self, inputs: tuple[EncoderInput, ...]) -> FluxText:
        return encode(self.spec, self.encoders, inputs, self.dtype)

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        own = cast("Sequence[FluxText]", texts)
        embedded = self.spec.can.guidance == "embedded"
        if dials.guidance is not None and not embedded:
            raise ValueError(f"guidance is {dials.guidance:g}; {self.spec.name} reads none: leave it out")
        guidance = self.spec.defaults.guidance if dials.guidance is None else dials.guidance
        return network_call(self.transformer, own, dials, guidance if embedded else None)

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return encoded(self.vae, image, noise)

    def to_image(self, latent: Tensor) -> Tensor:
        return decoded(self.vae, latent)
