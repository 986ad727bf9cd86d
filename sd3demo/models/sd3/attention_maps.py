"""The joint attention of an MM-DiT as numbers: how much of each patch's attention goes to which words.

In a joint block each patch asks all patches and all text tokens at once, softmax(Q K^T / sqrt d) over both
streams together (SD3 paper, figure 2). The fast kernels never hold these weights; here they are computed
again from the same queries and keys, a few patches at a time, and only the part on the text is kept: the mean
over heads, summed over the tokens of each word. Nothing is approximated.
"""

from collections.abc import Iterator, Sequence

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from sd3demo.models.sd3.modulation import Modulation, modulations, taken
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import MMDiT, joint_block, positions_of, queries_keys_values

CHUNK = 2**23
"""Weights that are held at a time: 32 MiB in float32."""


def text_weights(
    model: MMDiT,
    latent: Tensor,
    text: Tensor,
    positions: Tensor,
    modulation: Modulation,
    *,
    groups: Tensor,
    blocks: Sequence[int],
) -> Iterator[Tensor]:
    """For each of `blocks`, in increasing order, each patch's share of attention on each group: (B, N, U).

    groups: (M, U), ones where a text token belongs to a group. What is missing from 1 in the sum over all
    groups is the attention of the patch to the picture. The others are those of `transformer.forward`.
    """
    image = model.patches(latent).flatten(2).transpose(1, 2) + positions  # (B, N, D)
    for index, (block, rows) in enumerate(zip(model.blocks, modulation.blocks, strict=True)):
        if index in blocks:
            query, key, _ = queries_keys_values(block, image, text, rows)
            yield shares(query[:, : image.shape[1]], key, groups)
        if index == max(blocks):
            return
        image, text = joint_block(block, image, text, rows)


def of_network(
    network: SD3Transformer2DModel,
    layers: MMDiT,
    x: Tensor,
    t: float,
    text: SD3Text,
    *,
    groups: Tensor,
    blocks: Sequence[int],
) -> Iterator[Tensor]:
    """The same for a whole network at a state x (B, C, H, W) and a time, under one text."""
    device, dtype = network.device, network.dtype
    (modulation,) = modulations(network, (t,), text.pooled.to(device, dtype))
    return text_weights(
        layers,
        x.to(dtype),
        network.context_embedder(text.tokens.to(device, dtype)).expand(len(x), -1, -1),
        positions_of(network, *x.shape[-2:]).to(dtype),
        taken(modulation, [0] * len(x)),
        groups=groups.to(device),
        blocks=blocks,
    )


def shares(query: Tensor, key: Tensor, groups: Tensor) -> Tensor:
    """The weights of queries (B, N, heads, d) on groups (M, U) of the last M of the keys: (B, N, U)."""
    batch, count, heads, width = query.shape
    text = len(groups)
    at_once = max(CHUNK // (batch * heads * key.shape[1]), 1)
    keys = key.permute(0, 2, 3, 1).float() / width**0.5  # (B, heads, d, K)
    found = []
    for start in range(0, count, at_once):
        some = query[:, start : start + at_once].transpose(1, 2).float()  # (B, heads, n, d)
        weights = (some @ keys).softmax(-1)[..., -text:]  # (B, heads, n, M)
        found.append(weights.mean(1) @ groups.float())
    return torch.cat(found, dim=1)
