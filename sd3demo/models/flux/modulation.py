"""FLUX.1's modulations, known ahead, so that their weights wait on the CPU while the network is at work.

A block's shift, scale and gate are one product of silu(c), where c embeds time, guidance and the pooled text
and nothing else: 27% of FLUX.1's weights for a row of numbers in each step. Each such layer is brought to the
device once for a run, asked about all of the run's times and texts together, and sent away again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn.functional import silu

TIME_SCALE = 1000.0  # t in [0, 1] is read in thousandths, and so is the guidance scale


class EvictedLayer(nn.Module):
    """A modulation layer that is no part of the network's parameters and answers from what it knows."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = (layer,)  # a tuple, so that moving the network leaves it where it is
        self.rows: Tensor | None = None
        """The answers to the rows of the call that is on; None where they are not known."""

    def computed(self, c: Tensor) -> Tensor:
        """What the layer makes of (R, D), on the device of c, to which it goes and from which it returns."""
        (layer,) = self._layer
        found: Tensor = layer.to(c.device)(c)
        layer.to("cpu")
        return found

    def forward(self, c: Tensor) -> Tensor:
        return self.computed(c) if self.rows is None else self.rows


def evict_modulations(network: nn.Module) -> None:
    """Take the blocks' modulation layers out of a FLUX.1 network, once it is loaded."""
    assert isinstance(network, FluxTransformer2DModel)
    for norm in _norms(network):
        if not isinstance(norm.linear, EvictedLayer):
            norm.linear = EvictedLayer(cast(nn.Module, norm.linear))


def is_evicted(network: FluxTransformer2DModel) -> bool:
    """Whether the modulation layers wait elsewhere."""
    return any(isinstance(norm.linear, EvictedLayer) for norm in _norms(network))


class KnownModulations:
    """All modulations of a run: for each of its times under each of its texts."""

    def __init__(
        self,
        network: FluxTransformer2DModel,
        times: Sequence[float],
        pooled: Sequence[Tensor],
        guidance: float | None,
    ) -> None:
        distinct = tuple(dict.fromkeys(times))
        self._places = {
            (t, number): place
            for place, (t, number) in enumerate(
                (t, number) for t in distinct for number in range(len(pooled))
            )
        }
        self._layers = [cast(EvictedLayer, norm.linear) for norm in _norms(network)]
        self._tables: list[Tensor] = []
        if self._places:
            rows = [(t, pooled[number]) for t, number in self._places]
            device = network.time_text_embed.text_embedder.linear_1.weight.device
            texts = torch.cat([text for _, text in rows]).to(device)
            scales = [torch.tensor([t for t, _ in rows], dtype=torch.float32, device=device)]
            if guidance is not None:
                scales.append(torch.full((len(rows),), guidance, dtype=torch.float32, device=device))
            c = silu(network.time_text_embed(*(scale * TIME_SCALE for scale in scales), texts))
            self._tables = [layer.computed(c) for layer in self._layers]

    @contextmanager
    def given(self, times: Sequence[float], texts: Sequence[int]) -> Iterator[None]:
        """Let the layers answer with these rows for the time of a call; a new time is computed in it."""
        keys = list(zip(times, texts, strict=True))
        if all(key in self._places for key in keys):
            index = torch.tensor([self._places[key] for key in keys])
            for layer, table in zip(self._layers, self._tables, strict=True):
                layer.rows = table[index.to(table.device)]
        try:
            yield
        finally:
            for layer in self._layers:
                layer.rows = None


def _norms(network: FluxTransformer2DModel) -> Iterator[nn.Module]:
    """The modulated norms of all blocks; the last one, of the head, stays where it is."""
    for block in network.transformer_blocks:
        yield from (block.norm1, block.norm1_context)
    for block in network.single_transformer_blocks:
        yield block.norm
