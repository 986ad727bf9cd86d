"""What a network costs, counted from its shape: floating-point operations and bytes. No torch.

A multiply-add counts as two operations. Attention over N tokens of width d costs 4 N^2 d, a linear layer of m
x n weights 2 m n for each token. Norms, activations and modulations are left out: they are under 1% of an
MM-DiT.
"""

from dataclasses import dataclass
from typing import Protocol

MLP = 4  # an MM-DiT's feed-forward layer is four times as wide as its stream


class NetworkShape(Protocol):
    """The shape of a network of any family, and what one call of it costs."""

    @property
    def depth(self) -> int:
        """Blocks."""
        ...

    @property
    def hidden(self) -> int: ...

    @property
    def text_width(self) -> int:
        """Channels of a text token as the encoders give it."""
        ...

    def flops(self, image: int, text: int) -> float:
        """Operations of one call for one sample of `image` + `text` tokens."""
        ...

    def activations(self, image: int, text: int, batch: int, width: int) -> int:
        """Bytes alive at once in a call of `batch` samples, `width` bytes a number."""
        ...


@dataclass(frozen=True)
class MMDiTShape:
    """The shape of SD3's MM-DiT (SD3, figure 2)."""

    depth: int
    hidden: int
    heads: int
    joint_dim: int
    pooled_dim: int
    channels: int = 16
    patch: int = 2
    table: int = 192
    """Patches along a side of the position table, beyond which it raises."""
    dual: int = 0
    """How many blocks attend within the picture a second time (SD3.5-medium)."""
    qk_norm: bool = False

    @property
    def text_width(self) -> int:
        """Channels of a text token: T5's."""
        return self.joint_dim

    def flops(self, image: int, text: int) -> float:
        """Operations of one call for one sample of `image` + `text` tokens."""
        d, both = self.hidden, image + text
        linear = 2 * (4 + 2 * MLP) * d * d  # q, k, v, out and the two layers of the feed-forward, for a token
        joint = self.depth * (linear * both + 4 * both * both * d)
        dual = self.dual * (2 * 4 * d * d * image + 4 * image * image * d)
        last_text = 2 * (1 + 2 * MLP) * d * d * text  # the last block makes no new text tokens
        patches = 2 * 2 * self.channels * self.patch**2 * d * image
        return joint + dual - last_text + patches + 2 * self.joint_dim * d * text

    def activations(self, image: int, text: int, batch: int, width: int) -> int:
        """Bytes alive at once in a call: the stream, its q, k, v and the feed-forward."""
        return batch * (image + text) * self.hidden * (3 + 3 + MLP) * width


@dataclass(frozen=True)
class FluxShape:
    """The shape of FLUX.1's network: blocks of two streams, then blocks of one that holds both."""

    double: int = 19
    single: int = 38
    hidden: int = 3072
    heads: int = 24
    joint_dim: int = 4096
    pooled_dim: int = 768
    channels: int = 16
    patch: int = 2
    axes: tuple[int, int, int] = (16, 56, 56)
    """Channels of a head that RoPE turns by the index, the row and the column."""
    guidance: bool = True
    """Whether a guidance scale is embedded beside the time."""

    @property
    def depth(self) -> int:
        return self.double + self.single

    @property
    def text_width(self) -> int:
        """Channels of a text token: T5's."""
        return self.joint_dim

    def flops(self, image: int, text: int) -> float:
        """Operations of one call for one sample of `image` + `text` tokens; all blocks carry the text on."""
        d, both = self.hidden, image + text
        linear = 2 * (4 + 2 * MLP) * d * d  # a single block has the same layers, two of them as one
        blocks = self.depth * (linear * both + 4 * both * both * d)
        patches = 2 * 2 * self.channels * self.patch**2 * d * image
        return blocks + patches + 2 * self.joint_dim * d * text

    def activations(self, image: int, text: int, batch: int, width: int) -> int:
        """Bytes alive at once in a call: the stream, q, k and v before and after RoPE, the feed-forward."""
        return batch * (image + text) * self.hidden * (3 + 5 + MLP) * width
