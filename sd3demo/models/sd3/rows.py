"""Network calls in which every row has its own time and text, so that several runs can share them.

The answer to a row does not depend on what stands beside it, but for the last bits of float32: a product of
more rows is summed in another order.
"""

from collections.abc import Callable, Sequence

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from sd3demo.models.protocol import Conditioning, Rows
from sd3demo.models.sd3.modulation import TIME_SCALE, modulation_of_rows
from sd3demo.models.sd3.transformer import MMDiT, forward, positions_of


def rows(network: SD3Transformer2DModel, layers: MMDiT, conditionings: Sequence[Conditioning]) -> Rows:
    """Rows by the layers of a network whose weights are in their place."""
    device, dtype = network.device, network.dtype
    embedded = [network.context_embedder(c.tokens.to(device, dtype)) for c in conditionings]
    pooled = torch.cat([c.pooled.to(device, dtype) for c in conditionings])
    positions: dict[torch.Size, Tensor] = {}

    def velocities(x: Tensor, times: Sequence[float], texts: Sequence[int]) -> Tensor:
        size = x.shape[-2:]
        if size not in positions:
            positions[size] = positions_of(network, *size).to(dtype)
        text = torch.cat([embedded[number] for number in texts])
        modulation = modulation_of_rows(network, times, pooled[list(texts)])
        return forward(layers, x.to(dtype), text, positions[size], modulation).to(x.dtype)

    return velocities


def stock_rows(network: SD3Transformer2DModel, conditionings: Sequence[Conditioning]) -> Rows:
    """Rows by diffusers' own forward, for weights that hooks bring and take away."""
    call: Callable[..., tuple[Tensor]] = network

    def velocities(x: Tensor, times: Sequence[float], texts: Sequence[int]) -> Tensor:
        wanted = [conditionings[number] for number in texts]
        out = call(
            hidden_states=x.to(wanted[0].tokens.dtype),
            timestep=torch.tensor(times, device=x.device) * TIME_SCALE,
            encoder_hidden_states=torch.cat([c.tokens.to(x.device) for c in wanted]),
            pooled_projections=torch.cat([c.pooled.to(x.device) for c in wanted]),
            return_dict=False,
        )[0]
        return out.to(x.dtype)

    return velocities
