"""What the engine asks of a model. Packing, sign, time scale and the VAE's shift are the adapter's business.

A model answers for several conditionings in one network call (its branches); guidance makes one velocity of
them. Latents are those that the flow works on, (B, C, H, W) with about unit variance; pictures are (B, 3, H,
W) in [-1, 1].
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from sd3demo.catalogue import ModelSpec, Part
from sd3demo.flow.extrapolation.tuning import NEUTRAL, Toolkit
from sd3demo.flow.guidance import Branch, Branches

T5Mode = Literal["on", "zeros", "omit", "empty"]
ClipMode = Literal["on", "zeros"]


@dataclass(frozen=True)
class Texts:
    """What each of the text encoders reads: CLIP-L, CLIP-G and T5 may have texts of their own."""

    clip_l: str
    clip_g: str
    t5: str


@dataclass(frozen=True)
class EncoderModes:
    """How each encoder takes part. Zeros keep the number of tokens, as the dropout of training does."""

    clip_l: ClipMode = "on"
    clip_g: ClipMode = "on"
    t5: T5Mode = "on"
    t5_tokens: int = 256


@dataclass(frozen=True, eq=False)
class Conditioning:
    """A text as the network reads it, and how many text encoders it took."""

    tokens: Tensor  # (1, L, D)
    pooled: Tensor  # (1, P)
    encoder_calls: int = 0


@dataclass(frozen=True)
class Dials:
    """What a run turns on the network, beside the texts.

    `times` are all those at which the network will be asked, in order: what depends on time alone is computed
    ahead. A time that is not among them is answered as well, only more slowly. `toolkit` says how the network
    is asked beyond its own size.
    """

    times: tuple[float, ...] = ()
    toolkit: Toolkit = NEUTRAL


class Rows(Protocol):
    """One network call in which each row has a time and a text of its own.

    `texts` are places among the conditionings that the rows were made for; all of a call have one length.
    """

    def __call__(self, x: Tensor, times: Sequence[float], texts: Sequence[int], /) -> Tensor: ...


class FlowModel(Protocol):
    """A rectified-flow model: its parts as modules, so that they can be placed, and what they do."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        """'text', 'flow' and 'vae'; a part that has no weights may be missing."""
        ...

    def encode(self, texts: Texts, encoders: EncoderModes) -> Conditioning:
        """One text as the network reads it."""
        ...

    def branches(self, conditionings: Mapping[Branch, Conditioning], dials: Dials) -> Branches:
        """Velocities under these conditionings; those wanted at a time come from one network call."""
        ...

    def rows(self, conditionings: Sequence[Conditioning]) -> Rows:
        """Velocities (B, C, H, W) at as many latents, row by row; for runs that go on abreast."""
        ...

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] to latents, by the mean of the posterior.

        With `noise`, of the latents' shape, the posterior is sampled: its mean and that many deviations.
        """
        ...

    def to_image(self, latent: Tensor) -> Tensor:
        """Latents to pictures (B, 3, H, W) in [-1, 1], not clamped."""
        ...


@dataclass(frozen=True, eq=False)
class TokenWords:
    """The words of a text as the network's tokens hold them.

    A word is (encoder, text); `groups`, (M, U), has a one where text token m belongs to word u. Padding and
    other tokens that are no part of the text are words of their own.
    """

    words: tuple[tuple[str, str], ...]
    groups: Tensor  # (M, U)


@runtime_checkable
class AttentionModel(Protocol):
    """A model that can say what its patches attend to."""

    def read(self, texts: Texts, encoders: EncoderModes) -> TokenWords:
        """The words of a text, in the order of its tokens."""
        ...

    def attention(
        self, x: Tensor, t: float, conditioning: Conditioning, groups: Tensor, blocks: Sequence[int]
    ) -> Iterator[Tensor]:
        """For each block, in increasing order: each patch's share of attention on each word, (B, N, U)."""
        ...
