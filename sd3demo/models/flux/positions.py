"""Positions of FLUX.1: a picture's patches by row and column, the text at row 0 and column 0.

`FluxPipeline` rounds the numbers of rows and columns to the network's dtype, so that in bfloat16 those above
256 coincide in pairs; here they are exact.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from sd3demo.flow.extrapolation.alignment import Bundling
from sd3demo.flow.extrapolation.tuning import VARYING, Toolkit, grid_copies
from sd3demo.flow.solvers import At
from sd3demo.models.rope import angles, patch_positions

Rotary: TypeAlias = tuple[Tensor, Tensor]
"""Cosines and sines, (M + N, D) or for each row of a call (R, M + N, D): the text's, then the patches'."""

CACHED = 4


class RotaryCache:
    """The rotary embedding of latents of a run under a toolkit, each computed once and kept."""

    def __init__(self, axes: tuple[int, ...], patch: int, toolkit: Toolkit) -> None:
        self._axes, self._patch, self._toolkit = axes, patch, toolkit
        self._cache: dict[tuple[object, ...], Rotary] = {}
        self._aligned: tuple[Rotary, ...] = ()
        self._aligned_key: tuple[object, ...] = ()

    def __call__(self, height: int, width: int, text: int, t: float, shifted: bool) -> Rotary:
        """Of a latent of this size with a text of that many tokens, the text's copies not counted."""
        key = (height, width, text, shifted, t if self._toolkit.positions in VARYING else 0.0)
        if key not in self._cache:
            if len(self._cache) >= CACHED:  # a policy that varies with t is at a new time in each step
                self._cache.clear()
            self._cache[key] = self._rotary(height, width, text, t, shifted)
        return self._cache[key]

    def of_rows(self, height: int, width: int, text: int, times: Sequence[float], shifted: bool) -> Rotary:
        """One for all rows of a call where they share their positions, else each row's own."""
        if self._toolkit.positions not in VARYING or len(set(times)) == 1:
            return self(height, width, text, times[0], shifted)
        cos, sin = zip(*(self(height, width, text, t, shifted) for t in times), strict=True)
        return torch.stack(cos), torch.stack(sin)

    def aligned(self, height: int, width: int, text: int, at: At, shifted: bool) -> tuple[Rotary, ...]:
        """Those that attention is averaged over in a step, () where it is not averaged."""
        size = (height // self._patch, width // self._patch)
        found = self._toolkit.bundlings(size, self._patch, at)
        if found and (height, width, text, shifted) != self._aligned_key:
            self._aligned_key = (height, width, text, shifted)
            self._aligned = tuple(
                self._rotary(height, width, text, at.t, shifted, bundling) for bundling in found
            )
        return self._aligned if found else ()

    def _rotary(
        self,
        height: int,
        width: int,
        text: int,
        t: float,
        shifted: bool,
        bundling: Bundling | None = None,
    ) -> Rotary:
        toolkit, size = self._toolkit, (height // self._patch, width // self._patch)
        native = tuple(own // self._patch or count for own, count in zip(toolkit.native, size, strict=True))

        def along(axis: int, positions: Tensor) -> Tensor:
            """(n, d / 2), the angles of positions on the row axis or the column axis."""
            if bundling is not None:
                return angles(positions, self._axes[1 + axis])
            return angles(
                positions,
                self._axes[1 + axis],
                policy=toolkit.positions,
                scale=size[axis] / native[axis],
                ntk=toolkit.ntk,
                t=t,
            )

        windows = grid_copies(size, (native[0], native[1])) if toolkit.copies_at == "grid" else (1, 1)
        corners = [torch.arange(count) * own for count, own in zip(windows, native, strict=True)]
        patches = [patch_positions(count, shifted=shifted) for count in size]
        if bundling is not None:
            corners = [_bundled(bundling, axis, size[axis])[corners[axis]] for axis in (0, 1)]
            patches = [_bundled(bundling, axis, size[axis], shifted=shifted) for axis in (0, 1)]
        texts = _crossed(along(0, corners[0]), along(1, corners[1])).repeat_interleave(text, dim=0)
        image = _crossed(along(0, patches[0]), along(1, patches[1]))
        both = torch.cat((texts, image))
        index = both.new_zeros(len(both), self._axes[0] // 2)  # the first axis, at 0 for all
        turned = torch.cat((index, both), dim=1)
        cos, sin = turned.cos(), turned.sin()
        return cos.repeat_interleave(2, dim=1).float(), sin.repeat_interleave(2, dim=1).float()


def _bundled(bundling: Bundling, axis: int, count: int, *, shifted: bool = False) -> Tensor:
    return torch.tensor(bundling.along(axis, count, shifted=shifted), dtype=torch.float64)


def _crossed(rows: Tensor, columns: Tensor) -> Tensor:
    """(H W, K + L) of rows (H, K) and columns (W, L), row by row."""
    down, across = len(rows), len(columns)
    return torch.cat((rows[:, None].expand(-1, across, -1), columns.expand(down, -1, -1)), dim=-1).flatten(
        0, 1
    )
