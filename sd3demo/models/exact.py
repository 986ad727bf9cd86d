"""A closed-form model behind the protocol of the others, so that whatever stands above is tested exactly.

Its data are a mixture of Gaussians about a few flat pictures, and a text names one of them; the empty text
leaves all of them possible. Its autoencoder is the identity on three channels. A run takes milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sd3demo.catalogue import ModelSpec, Network, Part
from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.guidance import Branch, Branches
from sd3demo.flow.solvers import At
from sd3demo.models.protocol import Conditioning, Dials, EncoderModes, Rows, Texts

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
    vae_factor=1,
    network=Network(depth=0, hidden=1, heads=1, joint_dim=1, pooled_dim=1, channels=3, patch=1, table=64),
    components={},
    clip_tokens=1,
    t5_tokens=1,
    t5_limit=1,
)


@dataclass(frozen=True, eq=False)
class Exact:
    """Flat pictures in red, green or blue."""

    spec: ModelSpec = EXACT
    parts: Mapping[Part, nn.Module] = field(default_factory=dict)

    def encode(self, texts: Texts, encoders: EncoderModes) -> Conditioning:
        known = [float(word in texts.t5) for word in COLOURS]
        return Conditioning(torch.tensor([[known]]), torch.tensor([known]), encoder_calls=1)

    def branches(self, conditionings: Mapping[Branch, Conditioning], dials: Dials) -> Branches:
        def branches(x: Tensor, at: At, wanted: tuple[Branch, ...]) -> tuple[Tensor, ...]:
            return tuple(_data(conditionings[name], x).velocity(x, at) for name in wanted)

        return branches

    def rows(self, conditionings: Sequence[Conditioning]) -> Rows:
        def velocities(x: Tensor, times: Sequence[float], texts: Sequence[int]) -> Tensor:
            asked = zip(x.split(1), times, texts, strict=True)
            return torch.cat([_data(conditionings[n], row).velocity(row, At(t, 0, 1)) for row, t, n in asked])

        return velocities

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return image

    def to_image(self, latent: Tensor) -> Tensor:
        return latent


def _data(conditioning: Conditioning, like: Tensor) -> Gaussian | Mixture:
    """The pictures that a text leaves possible, at the size of the latent."""
    named = conditioning.pooled[0].tolist()
    chosen = [colour for colour, name in zip(COLOURS.values(), named, strict=True) if name] or [
        *COLOURS.values()
    ]
    means = [torch.tensor(colour)[:, None, None].expand(like.shape[1:]) for colour in chosen]
    components = tuple(Gaussian(mean.to(like), SPREAD) for mean in means)
    return Mixture((1 / len(components),) * len(components), components)
