"""Positions of Lumina-Next: patches by row and column, the channels of both alternating, in float32.

The keys of the text are not rotated while the queries that read them are, so that a patch's absolute position
counts: a picture starts at 0 and is never centred.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from sd3demo.flow.extrapolation.alignment import Bundling
from sd3demo.flow.extrapolation.tuning import VARYING, Toolkit
from sd3demo.models.rope import side_angles, turned


def rotary(
    size: tuple[int, int],
    native: tuple[int, int],
    dim: int,
    toolkit: Toolkit,
    times: Sequence[float],
    *,
    shifted: bool,
    device: torch.device,
    bundling: Bundling | None = None,
) -> Tensor:
    """(1, N, dim / 2) complex for a picture of `size` patches, or for each row of a call (R, N, dim / 2)."""
    varies = toolkit.positions in VARYING and len(set(times)) > 1 and bundling is None
    asked = times if varies else times[:1]
    found = {t: _rotary(size, native, dim, toolkit, t, shifted, device, bundling) for t in set(asked)}
    return torch.stack([found[t] for t in asked])


def _rotary(
    size: tuple[int, int],
    native: tuple[int, int],
    dim: int,
    toolkit: Toolkit,
    t: float,
    shifted: bool,
    device: torch.device,
    bundling: Bundling | None,
) -> Tensor:
    along = partial(
        side_angles,
        size=size,
        native=native,
        dim=dim // 2,
        toolkit=toolkit,
        t=t,
        shifted=shifted,
        dtype=torch.float32,
        bundling=bundling,
    )
    rows, columns = (turned(along(axis)).to(device) for axis in (0, 1))
    down, across = len(rows), len(columns)
    pair = (rows[:, None].expand(-1, across, -1), columns.expand(down, -1, -1))
    return torch.stack(pair, dim=-1).flatten(2).flatten(0, 1)
