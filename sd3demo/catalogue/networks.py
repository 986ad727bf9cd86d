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

    @property
    def modulations(self) -> int:
        """Parameters of modulations that can wait elsewhere once they are known; 0 where none do."""
        ...

    def alignment_flops(self, image: int, text: int) -> float:
        """Operations of a call for each further bundling of positions that it is averaged over."""
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
    def modulations(self) -> int:
        """None wait elsewhere."""
        return 0

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

    def alignment_flops(self, image: int, text: int) -> float:
        """Operations for each further bundling of positions: of a whole call."""
        return self.flops(image, text)

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
    def modulations(self) -> int:
        """Parameters of the blocks' modulations, which time, guidance and the pooled text alone decide."""
        return (self.double * 2 * 6 + self.single * 3) * (self.hidden + 1) * self.hidden

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

    def alignment_flops(self, image: int, text: int) -> float:
        """Operations for each further bundling of positions: of attention, after its projections."""
        return self.depth * 4.0 * (image + text) ** 2 * self.hidden

    def activations(self, image: int, text: int, batch: int, width: int) -> int:
        """Bytes alive at once in a call: the stream, q, k and v before and after RoPE, the feed-forward."""
        return batch * (image + text) * self.hidden * (3 + 5 + MLP) * width


@dataclass(frozen=True)
class LuminaNextShape:
    """The shape of Lumina-Next's network: attention within the picture, and of the picture to the text."""

    depth: int = 24
    hidden: int = 2304
    heads: int = 32
    kv_heads: int = 8
    text_dim: int = 2048
    channels: int = 4
    patch: int = 2
    multiple_of: int = 256
    """The width of the feed-forward divides by it."""
    learn_sigma: bool = True
    """Whether the head gives as many channels again, which sampling does not read."""

    @property
    def modulations(self) -> int:
        """None wait elsewhere."""
        return 0

    @property
    def text_width(self) -> int:
        """Channels of a text token: Gemma's."""
        return self.text_dim

    @property
    def feed_forward(self) -> int:
        """Channels of the gated feed-forward layer: eight thirds of the stream, rounded up."""
        return _rounded_up(8 * self.hidden // 3, self.multiple_of)

    def flops(self, image: int, text: int) -> float:
        """Operations of one call for one sample of `image` tokens that ask `text` tokens."""
        d, kv = self.hidden, self.hidden // self.heads * self.kv_heads
        linear = (
            2 * d * (3 * d + 2 * kv + 3 * self.feed_forward)
        )  # two queries, k, v, out, three gated layers
        attention = 4 * image * (image + text) * d
        block = linear * image + attention + 2 * 2 * self.text_dim * kv * text
        patch = self.channels * self.patch**2
        return self.depth * block + 2 * patch * d * image * (3 if self.learn_sigma else 2)

    def alignment_flops(self, image: int, text: int) -> float:
        """Operations for each further bundling of positions: of both attentions, projections included."""
        d, kv = self.hidden, self.hidden // self.heads * self.kv_heads
        inside = 2 * d * (d + 2 * kv) * image + 4 * image * image * d
        across = 2 * d * d * image + 2 * 2 * self.text_dim * kv * text + 4 * image * text * d
        return float(self.depth * (inside + across))

    def activations(self, image: int, text: int, batch: int, width: int) -> int:
        """Bytes alive at once in a call: the stream, its q, k, v before and after RoPE, the gated layer."""
        return batch * (image + text) * (self.hidden * (3 + 5) + 2 * self.feed_forward) * width


@dataclass(frozen=True)
class Lumina2Shape:
    """The shape of Lumina-Image 2.0's network: text and picture are refined apart, then go in one stream."""

    joint: int = 26
    refiners: int = 2
    hidden: int = 2304
    heads: int = 24
    kv_heads: int = 8
    text_dim: int = 2304
    channels: int = 16
    patch: int = 2
    axes: tuple[int, int, int] = (32, 32, 32)
    """Channels of a head that RoPE turns by the index, the row and the column."""
    multiple_of: int = 256

    @property
    def depth(self) -> int:
        """Blocks of the joint stream."""
        return self.joint

    @property
    def modulations(self) -> int:
        """None wait elsewhere."""
        return 0

    @property
    def text_width(self) -> int:
        """Channels of a text token: Gemma's."""
        return self.text_dim

    @property
    def feed_forward(self) -> int:
        """Channels of the gated feed-forward layer."""
        return _rounded_up(4 * self.hidden, self.multiple_of)

    def flops(self, image: int, text: int) -> float:
        """Operations of one call for one sample of `image` + `text` tokens."""
        d, kv, both = self.hidden, self.hidden // self.heads * self.kv_heads, image + text
        linear = 2 * d * (2 * d + 2 * kv + 3 * self.feed_forward)
        joint = self.joint * (linear * both + 4 * both * both * d)
        apart = self.refiners * (linear * both + 4 * (image * image + text * text) * d)
        ends = 2 * self.channels * self.patch**2 * d * (image + both)  # the head reads text tokens as well
        return joint + apart + ends + 2 * self.text_dim * d * text

    def alignment_flops(self, image: int, text: int) -> float:
        """Operations for each further bundling of positions: of attention that sees the picture."""
        d, kv, both = self.hidden, self.hidden // self.heads * self.kv_heads, image + text
        projections = 2 * d * (2 * d + 2 * kv)
        joint = self.joint * (projections * both + 4 * both * both * d)
        return float(joint + self.refiners * (projections * image + 4 * image * image * d))

    def activations(self, image: int, text: int, batch: int, width: int) -> int:
        """Bytes alive at once in a call: the stream, its q, k, v before and after RoPE, the gated layer."""
        return batch * (image + text) * (self.hidden * (3 + 5) + 2 * self.feed_forward) * width


def _rounded_up(width: int, multiple: int) -> int:
    return multiple * -(-width // multiple)
