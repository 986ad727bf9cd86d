"""Lumina-Next: any folder with a `LuminaNextDiT2DModel`, behind the project's protocol."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from diffusers import AutoencoderKL, LuminaNextDiT2DModel
from torch import Tensor, nn

from sd3demo.catalogue import EncoderInput, ModelSpec, Part, TextEncoder
from sd3demo.models.encoding import load_missing
from sd3demo.models.gemma import GemmaEncoder, GemmaText, encode
from sd3demo.models.lumina_next.network_call import network_call
from sd3demo.models.protocol import Conditioning, Dials, Rows
from sd3demo.models.vae import decoded, encoded


@dataclass(eq=False)
class LuminaNext:
    """The parts of a checkpoint, and what they do together. Gemma may come later, by `load`."""

    spec: ModelSpec
    transformer: LuminaNextDiT2DModel
    vae: AutoencoderKL
    read_encoder: Callable[[TextEncoder], GemmaEncoder]
    encoders: dict[str, GemmaEncoder] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        text = nn.ModuleList(each.model for each in self.encoders.values())
        return {"text": text, "flow": self.transformer, "vae": self.vae}

    @property
    def components(self) -> frozenset[str]:
        encoders = {self.spec.encoder(name).folder for name in self.encoders}
        return frozenset({"transformer", "vae"} | encoders)

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        return load_missing(self.spec, components, self.encoders, self.read_encoder)

    def encode(self, inputs: tuple[EncoderInput, ...]) -> GemmaText:
        return encode(self.spec, self.encoders, inputs)

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        return network_call(self.transformer, cast("Sequence[GemmaText]", texts), dials)

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return encoded(self.vae, image, noise)

    def to_image(self, latent: Tensor) -> Tensor:
        return decoded(self.vae, latent)
