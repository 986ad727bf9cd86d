"""What the engine asks of a model. Packing, sign, time scale and the VAE's shift are the adapter's business.

A model has one network call, in which every row has a time and a text of its own; the branches of guidance
follow from it. Latents are those that the flow works on, (B, C, H, W) with about unit variance; images are
(B, 3, H, W) in [-1, 1].
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from torch import Tensor, nn

from sd3demo.catalogue import EncoderInput, ModelSpec, Part
from sd3demo.flow.extrapolation.tuning import NEUTRAL, Toolkit
from sd3demo.flow.solvers import At


class Conditioning(Protocol):
    """A text as a network reads it; what it holds is known to its model family alone."""

    @property
    def length(self) -> int:
        """Tokens of the text; rows of one network call have one length."""
        ...

    @property
    def encoder_calls(self) -> int:
        """How many text encoders were run for it."""
        ...

    def cached(self) -> Self:
        """The same on the CPU, with no encoder calls of its own: what a text cache keeps."""
        ...


@dataclass(frozen=True)
class Dials:
    """How a network is asked in a run, beside the texts.

    `times` are all those at which it will be asked, in order: what depends on time alone is computed ahead. A
    time that is not among them is answered as well, only more slowly. `toolkit` says how the network is asked
    beyond its native size; `skip_layers` are the blocks that skip-layer guidance leaves out; `guidance` is
    the scale that a network with embedded guidance reads, None for the others.
    """

    times: tuple[float, ...] = ()
    toolkit: Toolkit = NEUTRAL
    skip_layers: tuple[int, ...] = ()
    guidance: float | None = None


class Rows(Protocol):
    """One network call: velocities (R, C, h, w) at latents of that shape.

    Each row has its place in time and its text, a number among the conditionings that the call was made for.
    All rows of a call have one text length and agree on `toolkit.shifted` and `toolkit.aligned`. With `skip`
    the blocks `dials.skip_layers` are left out.

    Raises:
        ValueError: the rows differ in text length or in the half-patch shift.
    """

    def __call__(
        self, x: Tensor, at: Sequence[At], texts: Sequence[int], /, *, skip: bool = False
    ) -> Tensor: ...


class FlowModel(Protocol):
    """A rectified-flow model: its parts as modules, so that they can be placed, and what they do."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        """'text', 'flow' and 'vae', as far as they are loaded; a part that has no weights may be missing."""
        ...

    @property
    def components(self) -> frozenset[str]:
        """The component folders that are loaded; text encoders may be missing."""
        ...

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        """Read the text encoders among these components that are missing.

        Returns the new modules by component, on the CPU, for the caller to place. Raises Refusal for files
        that are absent or damaged, and ValueError for a component that the spec does not have.
        """
        ...

    def encode(self, inputs: tuple[EncoderInput, ...]) -> Conditioning:
        """One text as the network reads it. Raises ValueError where an encoder that has to run is missing."""
        ...

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        """The network call under these texts; made once for a run."""
        ...

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to latents, by the mean of the posterior.

        With `noise`, of the latents' shape, the posterior is sampled: its mean and that many deviations.
        """
        ...

    def to_image(self, latent: Tensor) -> Tensor:
        """Latents to images (B, 3, H, W) in [-1, 1], not clamped."""
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

    def words(self, inputs: tuple[EncoderInput, ...]) -> TokenWords:
        """The words of a text, in the order of its tokens."""
        ...

    def attention(
        self, x: Tensor, t: float, conditioning: Conditioning, groups: Tensor, blocks: Sequence[int]
    ) -> Iterator[Tensor]:
        """For each block, in increasing order: each patch's share of attention on each word, (B, N, U)."""
        ...
