"""What time and the pooled text do to an MM-DiT, computed for many steps at once.

Each block's adaLN outputs (shift, scale and gate of its attention and of its feed-forward, for pictures and
for text) are linear in silu(c), where c = time embedding + pooled text embedding. They do not depend on the
latent, so the steps of a run need not compute them one by one: as one batch over the times they cost a
fraction, since a step alone reads every modulation weight for a single row. In the embedded model those are a
third of all weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn

Vectors: TypeAlias = tuple[Tensor, ...]  # each (B, 1, D), ready to broadcast over tokens

TIME_SCALE = 1000.0  # the network was trained on t in thousandths
WINDOW = 32  # times computed together: more would cost memory on large models and gain nothing


@dataclass(frozen=True, eq=False)
class BlockModulation:
    """One block at one time. `image` holds (shift, 1 + scale, gate) of its attention and of its feed-forward.

    In a block with dual attention three more follow. `text` is the same for text, but in the last block,
    whose text goes no further: there it is (shift, 1 + scale).
    """

    image: Vectors
    text: Vectors


@dataclass(frozen=True, eq=False)
class Modulation:
    """The whole network at one time: its blocks, then (shift, 1 + scale) of the last norm."""

    blocks: tuple[BlockModulation, ...]
    out: Vectors


def modulations(network: SD3Transformer2DModel, times: Sequence[float], pooled: Tensor) -> list[Modulation]:
    """The modulation at each time for texts whose pooled embeddings are (B, P)."""
    time, text = _embedded(network, times, pooled)
    return _rows(network, nn.functional.silu(time[:, None] + text))  # (T, B, D)


def modulation_of_rows(network: SD3Transformer2DModel, times: Sequence[float], pooled: Tensor) -> Modulation:
    """The modulation of B rows, each at its own time with its own text (B, P)."""
    time, text = _embedded(network, times, pooled)
    (rows,) = _rows(network, nn.functional.silu(time + text)[None])  # (1, B, D)
    return rows


def _embedded(
    network: SD3Transformer2DModel, times: Sequence[float], pooled: Tensor
) -> tuple[Tensor, Tensor]:
    """The embeddings of times (T, D) and of pooled texts (B, D)."""
    embedder = network.time_text_embed
    t = torch.tensor(times, dtype=torch.float32, device=pooled.device) * TIME_SCALE  # (T,)
    return embedder.timestep_embedder(embedder.time_proj(t).to(pooled.dtype)), embedder.text_embedder(pooled)


def _rows(network: SD3Transformer2DModel, c: Tensor) -> list[Modulation]:
    """What every layer makes of (T, B, D), a Modulation for each of T."""
    blocks = []
    for block in network.transformer_blocks:
        last = block.context_pre_only
        image = _zero(block.norm1.linear(c), 9 if block.use_dual_attention else 6)
        texts = (
            _continuous(block.norm1_context.linear(c)) if last else _zero(block.norm1_context.linear(c), 6)
        )
        blocks.append((image, texts))
    out = _continuous(network.norm_out.linear(c))
    return [
        Modulation(tuple(BlockModulation(_at(image, i), _at(text, i)) for image, text in blocks), _at(out, i))
        for i in range(len(c))
    ]


def taken(modulation: Modulation, rows: Sequence[int]) -> Modulation:
    """The modulation whose rows are these of another's, such as each text's for all samples under it."""
    count = len(modulation.out[0])
    if list(rows) == list(range(count)):
        return modulation
    index = torch.tensor(rows, device=modulation.out[0].device)
    blocks = tuple(
        BlockModulation(_taken(block.image, index), _taken(block.text, index)) for block in modulation.blocks
    )
    return Modulation(blocks, _taken(modulation.out, index))


def _taken(vectors: Vectors, index: Tensor) -> Vectors:
    return tuple(vector.index_select(0, index) for vector in vectors)


def _zero(rows: Tensor, chunks: int) -> Vectors:
    """adaLN-Zero's order: (shift, scale, gate) twice, thrice with dual attention; each (T, B, D)."""
    parts = rows.chunk(chunks, dim=-1)
    return tuple(part + 1 if index % 3 == 1 else part for index, part in enumerate(parts))


def _continuous(rows: Tensor) -> Vectors:
    """The other order, (scale, shift), turned round."""
    scale, shift = rows.chunk(2, dim=-1)
    return shift, scale + 1


def _at(parts: Vectors, index: int) -> Vectors:
    return tuple(part[index].unsqueeze(1) for part in parts)
