"""A shallower MM-DiT out of a trained one, to go on training from.

Blocks are left out, and channels, heads and hidden units with them, so that the paper's rule (SD3, end of
section 4: hidden 64 x depth, heads = depth) holds again; what reads fewer inputs is refitted to them by least
squares (channel pruning, arXiv 1707.06168). Training heals the rest with a few percent of the examples
that a start from nothing takes (Minitron, arXiv 2407.14679).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn

from sd3demo.training.transformer import mmdit

HEAD = 64
HIDDEN = 4
"""Hidden units of a feed-forward part for each channel."""
RIDGE = 1e-4
"""Of the least squares, in units of the inputs' mean square."""
IMAGE = ("attn.to_q", "attn.to_k", "attn.to_v", "ff.net.0.proj")
TEXT = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "ff_context.net.0.proj")


@dataclass(frozen=True)
class Sample:
    """What the network is asked in training: z (B, C, H, W), t (B,), context (B, M, J), pooled (B, P), and
    the velocity (B, C, H, W) that it should answer."""

    z: Tensor
    t: Tensor
    context: Tensor
    pooled: Tensor
    velocity: Tensor


@torch.no_grad()
def prune(deep: SD3Transformer2DModel, depth: int, samples: Sequence[Sample]) -> SD3Transformer2DModel:
    """`deep` cut down to `depth` blocks and the width that goes with them, fitted on the samples.

    Raises ValueError unless `deep` has more blocks than that; its last block, which drops the text, stays.
    """
    blocks = deep.transformer_blocks
    if not 1 <= depth < len(blocks):
        raise ValueError(f"depth is {depth} and the transformer has {len(blocks)} blocks")
    try:
        return _PrunedNetwork(
            _with(deep, blocks, blocks_to_keep(deep, depth, samples)), depth, samples
        ).result()
    finally:
        deep.transformer_blocks = blocks


@torch.no_grad()
def blocks_to_keep(deep: SD3Transformer2DModel, depth: int, samples: Sequence[Sample]) -> tuple[int, ...]:
    """The `depth` blocks that do best without the others: the lowest loss, before anything is refitted."""
    blocks = deep.transformer_blocks
    choices = [(*first, len(blocks) - 1) for first in combinations(range(len(blocks) - 1), depth - 1)]
    try:
        return min(choices, key=lambda choice: _loss(_with(deep, blocks, choice), samples))
    finally:
        deep.transformer_blocks = blocks


def _with(deep: SD3Transformer2DModel, blocks: nn.ModuleList, kept: Iterable[int]) -> SD3Transformer2DModel:
    """The same network, with these of its blocks in place."""
    deep.transformer_blocks = nn.ModuleList(blocks[index] for index in kept)
    return deep


def _answers(network: SD3Transformer2DModel, sample: Sample) -> Tensor:
    return network(sample.z, sample.context, sample.pooled, sample.t * 1000, return_dict=False)[0]


def _loss(network: SD3Transformer2DModel, samples: Sequence[Sample]) -> float:
    """The mean velocity loss (SD3 eq. 8 on the path of eq. 13)."""
    losses = [(_answers(network, sample) - sample.velocity).square().mean() for sample in samples]
    return float(torch.stack(losses).mean())


class Moments:
    """Second moments, (I + 1, I + 1), of what each linear layer reads; a constant 1 is its last input."""

    def __init__(self, network: SD3Transformer2DModel, samples: Sequence[Sample]) -> None:
        self.layers = {name: part for name, part in network.named_modules() if isinstance(part, nn.Linear)}
        self._sums: dict[str, Tensor] = {}
        hooks = [layer.register_forward_pre_hook(self._adding(name)) for name, layer in self.layers.items()]
        for sample in samples:
            _answers(network, sample)
        for hook in hooks:
            hook.remove()

    def _adding(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen = given[0].flatten(0, -2).double()
            seen = torch.cat((seen, seen.new_ones(len(seen), 1)), 1)
            self._sums[name] = self._sums.get(name, 0) + seen.T @ seen

        return add

    def importance(self, names: Iterable[str]) -> Tensor:
        """(I,): how much of these layers' answers comes from each input, as the variance that it brings."""
        found: list[Tensor] = []
        for name in names:
            sums, weight = self._sums[name], self.layers[name].weight.double()
            count, means = sums[-1, -1], sums[-1, :-1] / sums[-1, -1]
            found.append(weight.square().sum(0) * (sums.diagonal()[:-1] / count - means.square()))
        return torch.stack(found).sum(0)

    def refitted(self, name: str, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (O, len(inputs)) and bias (O,) that answer most nearly as the layer does, from these inputs
        alone."""
        layer, sums = self.layers[name], self._sums[name]
        whole = torch.cat((layer.weight, layer.bias[:, None]), 1).double()
        there = torch.cat((inputs, inputs.new_tensor([len(sums) - 1])))
        square = sums[there][:, there]
        square = square + RIDGE * square.diagonal().mean() * torch.eye(len(there)).to(square)
        fitted = torch.linalg.solve(square, sums[there] @ whole.T).T
        return fitted[:, :-1], fitted[:, -1]


class _PrunedNetwork:
    """One network with as many blocks as it will have, and what is kept of its channels."""

    def __init__(self, network: SD3Transformer2DModel, depth: int, samples: Sequence[Sample]) -> None:
        self.network, self.depth, self.width = network, depth, HEAD * depth
        self.wide: int = network.config.caption_projection_dim
        self.moments = Moments(network, samples)
        self.small = mmdit(depth)
        self.state = self.small.state_dict()
        layers = self.moments.layers
        waves = self.moments.importance([name for name in layers if name.endswith((*IMAGE, "proj_out"))])
        # All four waves of a frequency stay or go: sine and cosine, of the column and of the row.
        frequencies = waves.unflatten(0, (4, -1)).sum(0).topk(self.width // 4).indices.sort().values
        self.image = torch.cat([frequencies + quarter * self.wide // 4 for quarter in range(4)])
        self.text = self._most_important([name for name in layers if name.endswith(TEXT)])
        self.time = self._most_important([name for name in layers if "norm" in name])

    def result(self) -> SD3Transformer2DModel:
        """The smaller network, its weights put in place."""
        full = self.network.state_dict()
        for name in ("weight", "bias"):
            self.state[f"pos_embed.proj.{name}"].copy_(full[f"pos_embed.proj.{name}"][self.image])
        self.state["pos_embed.pos_embed"].copy_(full["pos_embed.pos_embed"][..., self.image])
        self._replace_linear("context_embedder", self.text)
        for part in ("timestep", "text"):
            name = f"time_text_embed.{part}_embedder.linear_"
            hidden = self._most_important([name + "2"])
            self._replace_linear(name + "1", hidden)
            self._replace_linear(name + "2", self.time, hidden)
        for index in range(self.depth):
            self._block(f"transformer_blocks.{index}.", full, last=index == self.depth - 1)
        self._replace_linear("norm_out.linear", self._parts(self.image, 2), self.time)
        self._replace_linear("proj_out", None, self.image)
        self.small.load_state_dict(self.state)
        return self.small

    def _block(self, block: str, full: dict[str, Tensor], *, last: bool) -> None:
        self._replace_linear(block + "norm1.linear", self._parts(self.image, 6), self.time)
        self._replace_linear(
            block + "norm1_context.linear", self._parts(self.text, 2 if last else 6), self.time
        )
        ends = {"attn.to_out.0": self.image} | ({} if last else {"attn.to_add_out": self.text})
        heads = self._heads([block + end for end in ends])
        for names, stream in ((IMAGE[:3], self.image), (TEXT[:3], self.text)):
            for name in names:
                self._replace_linear(block + name, heads, stream)
        for end, stream in ends.items():
            self._replace_linear(block + end, stream, heads)
        for norm in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            self.state[f"{block}attn.{norm}.weight"].copy_(full[f"{block}attn.{norm}.weight"])
        parts = {"ff": self.image} | ({} if last else {"ff_context": self.text})
        for part, stream in parts.items():
            name = f"{block}{part}.net."
            units = self._most_important([name + "2"], HIDDEN * self.width)
            self._replace_linear(name + "0.proj", units, stream)
            self._replace_linear(name + "2", stream, units)

    def _heads(self, ends: Sequence[str]) -> Tensor:
        """The channels of the heads that matter most, each stream's share of them counting alike."""
        shares = [self.moments.importance([end]).unflatten(0, (-1, HEAD)).sum(1) for end in ends]
        found = torch.stack([share / share.sum() for share in shares]).sum(0)
        heads = found.topk(self.depth).indices.sort().values
        return (heads[:, None] * HEAD + torch.arange(HEAD).to(heads)).flatten()

    def _most_important(self, names: Sequence[str], count: int | None = None) -> Tensor:
        """The inputs that matter most to these layers, in their order."""
        return self.moments.importance(names).topk(count or self.width).indices.sort().values

    def _parts(self, channels: Tensor, count: int) -> Tensor:
        """The rows of a modulation, which holds as many shifts, scales and gates one after another."""
        return torch.cat([channels + part * self.wide for part in range(count)])

    def _replace_linear(self, name: str, outputs: Tensor | None, inputs: Tensor | None = None) -> None:
        """One linear layer with these of its outputs and inputs; None for all of them."""
        layer = self.moments.layers[name]
        fitted = (layer.weight, layer.bias) if inputs is None else self.moments.refitted(name, inputs)
        for kind, values in zip(("weight", "bias"), fitted, strict=True):
            self.state[f"{name}.{kind}"].copy_(values if outputs is None else values[outputs])
