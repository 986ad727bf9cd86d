"""A closed-form model behind the protocol of the others, so that whatever stands above is tested exactly.

Its data are a mixture of Gaussians about a few flat images, and a text names one of them; the empty text
leaves all of them possible. Its autoencoder is the identity on three channels. A run takes milliseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, cast

import torch
from torch import Tensor, nn

from sd3demo.catalogue import Capabilities, EncoderInput, Latent, MMDiTShape, ModelSpec, Part, TextEncoder
from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.solvers import At
from sd3demo.models.protocol import Conditioning, Dials, Rows

COLOURS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.8, -0.8, -0.8),
    "green": (-0.8, 0.8, -0.8),
    "blue": (-0.8, -0.8, 0.8),
}
SPREAD = 0.1

EXACT = ModelSpec(
    name="exact",
    family="exact",
    licence="Apache-2.0",
    native=16,
    latent=Latent(channels=3, factor=1, patch=1),
    network=MMDiTShape(depth=0, hidden=1, heads=1, joint_dim=1, pooled_dim=1, channels=3, patch=1, table=64),
    encoders=(TextEncoder("words", "Words", "", 1, 1, modes=("on",)),),
    components={},
    can=Capabilities(max_side=64, attention_maps=False, lora=False),
)


@dataclass(frozen=True)
class NamedColours:
    """Which of COLOURS a text names."""

    names: tuple[str, ...]
    encoder_calls: int = 0

    @property
    def length(self) -> int:
        return 1

    def cached(self) -> Self:
        return replace(self, encoder_calls=0)


@dataclass(frozen=True, eq=False)
class Exact:
    """Flat images in red, green or blue."""

    spec: ModelSpec = EXACT
    parts: Mapping[Part, nn.Module] = field(default_factory=dict)
    components: frozenset[str] = frozenset()

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        if unknown := sorted(components):
            raise ValueError(f"{unknown[0]} is no component of {self.spec.name}, which has none")
        return {}

    def encode(self, inputs: tuple[EncoderInput, ...]) -> NamedColours:
        text = " ".join(each.text for each in inputs)
        return NamedColours(tuple(colour for colour in COLOURS if colour in text), encoder_calls=1)

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        own = cast("Sequence[NamedColours]", texts)

        def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
            found = x.clone()
            for place, number in set(zip(at, numbers, strict=True)):
                same = [
                    row for row, each in enumerate(zip(at, numbers, strict=True)) if each == (place, number)
                ]
                found[same] = _data(own[number], x).velocity(x[same], place)
            return found

        return rows

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return image

    def to_image(self, latent: Tensor) -> Tensor:
        return latent


def _data(text: NamedColours, like: Tensor) -> Gaussian | Mixture:
    """The images that a text leaves possible, at the size of the latent."""
    chosen = [COLOURS[name] for name in text.names or COLOURS]
    means = [torch.tensor(colour)[:, None, None].expand(like.shape[1:]) for colour in chosen]
    components = tuple(Gaussian(mean.to(like), SPREAD) for mean in means)
    return Mixture((1 / len(components),) * len(components), components)
