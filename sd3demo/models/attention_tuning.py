"""Attention as I-Max turns it (section 2.3): logits scaled, and the text counted as any number of copies.

The text tokens of SD3 carry no position, and those of FLUX.1 all carry the same, so n copies of the text
stay equal through every block, and attending to all of them is attending to one with log n added to its
logits. The addition rides in one more channel of each head, 1 in every query and the number in the text's
keys, so that no mask is needed and the fast kernels stay.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from sd3demo.models.context_parallel import ParallelConfig, exchanged_attention

CHANNELS = 8  # that a head grows by: the fast kernels take widths that divide by eight


@dataclass(frozen=True)
class Tuning:
    """What attention is turned by. `scale` multiplies the logits, and the text counts `copies` times."""

    scale: float = 1.0
    copies: float = 1.0


STOCK = Tuning()


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    text: int,
    tuning: Tuning,
    *,
    text_first: bool = False,
    parallel: ParallelConfig | None = None,
) -> Tensor:
    """Attention over (B, N, heads, d): (B, N, heads * d). The last `text` keys are the text's, or the first.

    At STOCK it is the plain kernel, to the last bit. With `parallel` N are this device's tokens, and all
    devices' are attended to.
    """
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    if tuning.copies == 1 or not text:
        scale = None if tuning.scale == 1 else tuning.scale / math.sqrt(q.shape[-1])
        return _mixed(q, k, v, scale, parallel).transpose(1, 2).flatten(2)
    width = q.shape[-1]
    scale = tuning.scale / math.sqrt(width)
    q, k, v = (pad(x, (0, CHANNELS)) for x in (q, k, v))
    q[..., width : width + 2] = 1
    keys = slice(0, text) if text_first else slice(-text, None)
    k[..., keys, width : width + 2] = _in_two(math.log(tuning.copies) / scale, k)
    mixed = _mixed(q, k, v, scale, parallel)[..., :width]
    return mixed.transpose(1, 2).flatten(2)


def _mixed(q: Tensor, k: Tensor, v: Tensor, scale: float | None, parallel: ParallelConfig | None) -> Tensor:
    """Attention over (B, heads, N, d) in the same shape."""
    if parallel is None:
        return scaled_dot_product_attention(q, k, v, scale=scale)
    query, key, value = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    return exchanged_attention(query, key, value, scale, parallel).transpose(1, 2)


def attend_biased(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float = 1.0) -> Tensor:
    """Attention over (B, N, heads, d): (B, N, heads * d), its logits times `scale`, then plus `bias` (B, N).

    The bias belongs to the keys, and rides in one more channel of each head as above.
    """
    width = query.shape[-1]
    scale = scale / math.sqrt(width)
    q, k, v = (pad(x.transpose(1, 2), (0, CHANNELS)) for x in (query, key, value))
    q[..., width : width + 2] = 1
    wanted = bias.double() / scale
    first = wanted.to(k.dtype)
    k[..., width] = first[:, None]
    k[..., width + 1] = (wanted - first.double()).to(k.dtype)[:, None]
    mixed = scaled_dot_product_attention(q, k, v, scale=scale)[..., :width]
    return mixed.transpose(1, 2).flatten(2)


def _in_two(value: float, like: Tensor) -> Tensor:
    """A number as the sum of two of the dtype, so that half precision does not round it to eight bits."""
    first = torch.tensor(value, dtype=torch.float64).to(like.dtype)
    second = torch.tensor(value - float(first), dtype=torch.float64).to(like.dtype)
    return torch.stack((first, second)).to(like.device)
