"""Positions of an SD3 picture beyond its table, from the loaded table itself.

The table holds the sine and the cosine of each row and each column at a few dozen frequencies. A pair of them
is a point on a circle whose angle grows by the same step from patch to patch, so that a position between two
entries, or past the last, is that angle turned on by a share of the step. Nothing is assumed of the
frequencies: a checkpoint's own are read off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.alignment import Bundling
from sd3demo.flow.extrapolation.tuning import BASES, POSITIONS, VARYING, Toolkit
from sd3demo.flow.solvers import At

SEPARABLE = 2e-2  # how far rows of a table may differ that should be equal: more than half precision rounds


@dataclass(frozen=True, eq=False)
class TableAxis:
    """The table along one axis: angle and radius of each frequency's pair at each entry, in float64."""

    angles: Tensor  # (T, K), growing steadily along T
    radii: Tensor  # (T, K)

    @cached_property
    def steps(self) -> Tensor:
        """The mean step of each angle from entry to entry, (K,)."""
        return (self.angles[-1] - self.angles[0]) / (len(self.angles) - 1)

    @cached_property
    def ranks(self) -> tuple[float, ...]:
        """0 for the highest frequency, 1 for the lowest, evenly in the logarithm."""
        logs = self.steps.abs().clamp_min(1e-12).log()
        span = float(logs.max() - logs.min())
        return tuple(((logs.max() - logs) / span).tolist() if span > 0 else [0.0] * len(logs))

    def at(self, positions: Tensor) -> Tensor:
        """Sines and cosines, (N, 2 K), at positions (N, K), counted in entries."""
        last = len(self.angles) - 1
        low = positions.floor().clamp(0, max(last - 1, 0)).long()
        high = (low + 1).clamp(max=last)
        share = positions - low  # below 0 or above 1 past the ends
        start, radius = self.angles.gather(0, low), self.radii.gather(0, low)
        inside = (share >= 0) & (share <= 1)
        step = torch.where(inside, self.angles.gather(0, high) - start, self.steps.expand_as(share))
        angle = start + share * step
        radius = radius + share.clamp(0, 1) * (self.radii.gather(0, high) - radius)
        return torch.cat((radius * angle.sin(), radius * angle.cos()), dim=1)


@dataclass(frozen=True, eq=False)
class PositionTable:
    """A checkpoint's table of positions: half of the channels is the column's, then half the row's."""

    side: int
    columns: TableAxis
    rows: TableAxis

    def at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(1, H W, D) at row positions (H, K) and column positions (W, K)."""
        down, across = self.rows.at(rows), self.columns.at(columns)
        count, wide = len(down), len(across)
        grid = (across.expand(count, -1, -1), down[:, None].expand(-1, wide, -1))
        return torch.cat(grid, dim=-1).flatten(0, 1)[None]


def read_table(network: SD3Transformer2DModel) -> PositionTable:
    """The table of a loaded network. Raises Refusal for one that is not made of rows and columns."""
    embed = network.pos_embed
    side = embed.pos_embed_max_size
    table = embed.pos_embed.detach().double().cpu().reshape(side, side, -1)
    half = table.shape[-1] // 2
    across, down = table[..., :half], table[..., half:]
    apart = max(float((across - across[:1]).abs().max()), float((down - down[:, :1]).abs().max()))
    if apart > SEPARABLE:
        raise Refusal(
            "this checkpoint's table of positions is not made of rows and columns, so that nothing can be "
            "read between its entries; use positions extend"
        )
    return PositionTable(side, _axis(across[0]), _axis(down[:, 0]))


def _axis(entries: Tensor) -> TableAxis:
    """(T, 2 K), sines first, as unwound angles."""
    sines, cosines = entries.chunk(2, dim=1)
    angles = torch.atan2(sines, cosines)
    steps = angles.diff(dim=0)
    steps = steps - 2 * math.pi * (steps / (2 * math.pi)).round()
    unwound = torch.cat((angles[:1], angles[:1] + steps.cumsum(0)))
    return TableAxis(unwound, torch.hypot(sines, cosines))


class PositionCache:
    """The positions of latents of a run under a toolkit, each computed once and kept."""

    def __init__(self, network: SD3Transformer2DModel, toolkit: Toolkit) -> None:
        self._network = network
        self._toolkit = toolkit
        self._patch: int = network.config.patch_size
        self._cache: dict[tuple[int, int, bool, float], Tensor] = {}
        self._aligned: tuple[Tensor, ...] = ()
        self._aligned_key: tuple[object, ...] = ()

    def __call__(self, height: int, width: int, t: float, shifted: bool) -> Tensor:
        """(1, N, D) for a latent of this size; with `shifted` the patches begin half a patch before it."""
        toolkit = self._toolkit
        key = (height, width, shifted, t if toolkit.positions in VARYING else 0.0)
        if key not in self._cache:
            if len(self._cache) > 4:  # a policy that varies with t is at a new time in each step
                self._cache.clear()
            self._cache[key] = self._positions(height, width, t, shifted)
        return self._cache[key]

    def of_rows(self, height: int, width: int, times: Sequence[float], shifted: bool) -> Tensor:
        """(1, N, D) where the rows of a call share their positions, else (R, N, D), each row's own."""
        if self._toolkit.positions not in VARYING or len(set(times)) == 1:
            return self(height, width, times[0], shifted)
        return torch.cat([self(height, width, t, shifted) for t in times])

    def aligned(self, height: int, width: int, at: At, shifted: bool) -> tuple[Tensor, ...]:
        """Those that a step's velocity is averaged over, each (1, N, D); () where it is not averaged.

        SD3's table is absolute and added to the input once, not within each attention as rotary embeddings
        are, and HRDiT's release has no code for it. This port is this project's own design: each bundling is
        a call of the whole network, with the table's entry of its bundle for each patch, counted from the
        native crop's first, and the velocities are averaged in place of the attentions.
        """
        size = (height // self._patch, width // self._patch)
        found = self._toolkit.bundlings(size, self._patch, at)
        if found and (height, width, shifted) != self._aligned_key:
            self._aligned_key = (height, width, shifted)
            self._aligned = tuple(self._bundled(each, size, shifted) for each in found)
        return self._aligned if found else ()

    def _bundled(self, bundling: Bundling, size: tuple[int, int], shifted: bool) -> Tensor:
        table, like = self._table, self._network.pos_embed.pos_embed
        places = []
        for axis, entries in enumerate((table.rows, table.columns)):
            start = (table.side - self._toolkit.native[axis] // self._patch) // 2
            along = torch.tensor(bundling.along(axis, size[axis], shifted=shifted), dtype=torch.float64)
            places.append((start + along)[:, None].expand(-1, len(entries.ranks)))
        return table.at(*places).to(like.device, like.dtype)

    @cached_property
    def _table(self) -> PositionTable:
        return read_table(self._network)

    def _positions(self, height: int, width: int, t: float, shifted: bool) -> Tensor:
        like = self._network.pos_embed.pos_embed
        if self._toolkit.positions == "extend" and not shifted:
            return self._network.pos_embed.cropped_pos_embed(height, width)
        axes = (self._table.rows, self._table.columns)
        places = [
            self._along(axis, size // self._patch, native // self._patch, t, shifted)
            for axis, size, native in zip(axes, (height, width), self._natives(height, width), strict=True)
        ]
        return self._table.at(*places).to(like.device, like.dtype)

    def _natives(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = self._toolkit.native
        return rows or height, columns or width

    def _along(self, axis: TableAxis, count: int, native: int, t: float, shifted: bool) -> Tensor:
        """Positions (N, K) of `count` patches along an axis, in entries, about the native middle.

        The spacing of frequency k is s^-e_k, with a multiple of s where the base has a factor. At the table's
        own spacing the middle is the stock crop's, which rounds where a whole number of patches is left over
        on neither side.
        """
        exponent, side = POSITIONS[self._toolkit.positions], self._table.side
        scale = count / native
        if scale > 1:
            scale *= BASES.get(self._toolkit.positions, 1.0)
        spacing = [scale ** -exponent(t, rank) for rank in axis.ranks]
        own = count if self._toolkit.positions == "extend" else native
        middle = (side - own) // 2 + (own - 1) / 2
        numbers = torch.arange(count + shifted, dtype=torch.float64) - (count - 1) / 2 - shifted / 2
        return middle + numbers[:, None] * torch.tensor(spacing, dtype=torch.float64)
