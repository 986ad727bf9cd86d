"""SD3's one network call, over weights that are in their place or that hooks bring block by block.

What is common to both is here: latents padded for the half-patch shift, positions, dtypes. An evaluation does
the rest: `Resident` with all that time and text alone decide computed ahead, `streamed.Streamed` by calling
the blocks as modules.

The answer to a row does not depend on the others but for the last bits of float32: a product of more rows is
summed in another order.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor
from torch.nn.functional import pad

from sd3demo.flow.solvers import At
from sd3demo.models.attention_tuning import Tuning
from sd3demo.models.averaged_attention import mean_of
from sd3demo.models.branches import check_rows
from sd3demo.models.protocol import Dials, Rows
from sd3demo.models.sd3.modulation import WINDOW, Modulation, modulation_of_rows, modulations, taken
from sd3demo.models.sd3.positions import PositionCache
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import MMDiT, forward


class Evaluation(Protocol):
    """The transformer on a batch: velocities at latents (R, C, h, w) in the network's dtype.

    positions: (1 or R, N, D); a time and the number of a text for each row; blocks in `skip` are left out.
    """

    def __call__(
        self,
        latent: Tensor,
        positions: Tensor,
        times: tuple[float, ...],
        texts: tuple[int, ...],
        skip: tuple[int, ...],
        /,
    ) -> Tensor: ...


def network_call(
    network: SD3Transformer2DModel, evaluate: Evaluation, texts: Sequence[SD3Text], dials: Dials
) -> Rows:
    """The rows of a network under these texts, by an evaluation made for the same texts and dials."""
    toolkit, half = dials.toolkit, network.config.patch_size // 2
    dtype = network.dtype
    positions = PositionCache(network, toolkit)

    def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
        check_rows(toolkit, at, [texts[number].length for number in numbers])
        times, shifted = tuple(each.t for each in at), toolkit.shifted(at[0])
        latent = x.to(dtype)
        if shifted:
            latent = pad(latent, (half,) * 4, mode="replicate")
        placed = positions.aligned(x.shape[-2], x.shape[-1], at[0], shifted) or (
            positions.of_rows(x.shape[-2], x.shape[-1], times, shifted),
        )
        skipped = dials.skip_layers if skip else ()
        out = mean_of(
            [evaluate(latent, each.to(x.device, dtype), times, tuple(numbers), skipped) for each in placed]
        )
        if shifted:
            out = out[..., half:-half, half:-half]
        return out.to(x.dtype)

    return rows


class Resident:
    """Everything that time and text alone decide is computed ahead, a window of times together."""

    def __init__(
        self, network: SD3Transformer2DModel, layers: MMDiT, texts: Sequence[SD3Text], dials: Dials
    ) -> None:
        device, dtype = network.device, network.dtype
        self._network, self._layers = network, layers
        self._tuning = Tuning(dials.toolkit.attention_scale, dials.toolkit.text_copies)
        self._tokens = [network.context_embedder(text.tokens.to(device, dtype)) for text in texts]
        self._pooled = torch.cat([text.pooled.to(device, dtype) for text in texts])  # (K, P)
        self._windows = [ModulationWindow(network, self._pooled, dials.times) for _ in ("all", "skipping")]

    def __call__(
        self,
        latent: Tensor,
        positions: Tensor,
        times: tuple[float, ...],
        texts: tuple[int, ...],
        skip: tuple[int, ...],
        /,
    ) -> Tensor:
        window = self._windows[bool(skip)]
        if len(set(times)) == 1 and times[0] in window.times:
            own = tuple(dict.fromkeys(texts))
            modulation = taken(window(times[0], own), [own.index(number) for number in texts])
        else:
            modulation = modulation_of_rows(self._network, times, self._pooled[list(texts)])
        tokens = torch.cat([self._tokens[number] for number in texts])
        return forward(self._layers, latent, tokens, positions, modulation, self._tuning, skip=skip)


class ModulationWindow:
    """The modulations of some texts for a stretch of a run's times, computed when the first is asked for.

    Calls that alternate between lists of texts would compute a stretch each time; a window serves one kind of
    call.
    """

    def __init__(self, network: SD3Transformer2DModel, pooled: Tensor, times: tuple[float, ...]) -> None:
        self._network, self._pooled = network, pooled
        self.times = {t: place for place, t in enumerate(dict.fromkeys(times))}
        self._texts: tuple[int, ...] = ()
        self._known: dict[float, Modulation] = {}

    def __call__(self, t: float, texts: tuple[int, ...]) -> Modulation:
        """The modulation at one of the times, with a row for each of the texts."""
        if texts != self._texts or t not in self._known:
            start = self.times[t]
            stretch = list(self.times)[start : start + WINDOW]
            found = modulations(self._network, stretch, self._pooled[list(texts)])
            self._texts, self._known = texts, dict(zip(stretch, found, strict=True))
        return self._known[t]
