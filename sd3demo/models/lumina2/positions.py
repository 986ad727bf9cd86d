"""Positions of Lumina-Image 2.0: a text's tokens by their index, then the picture by row and column.

All patches stand at the index that follows the text's last, so that the picture moves with the text's length.
Angles are in float64, and no table ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sd3demo.flow.extrapolation.alignment import Bundling
from sd3demo.flow.extrapolation.tuning import VARYING, Toolkit
from sd3demo.models.rope import angles, side_angles, turned


@dataclass(frozen=True, eq=False)
class JointRotary:
    """The rotary embeddings of a call's rows, complex: of the text, of the patches, and of both in a row.

    `text` is padded to the longest text and `both` to the longest row, with positions that are never read.
    """

    text: Tensor  # (R, L, D / 2)
    image: Tensor  # (R, N, D / 2)
    both: Tensor  # (R, L + N, D / 2)


def joint_rotary(
    size: tuple[int, int],
    native: tuple[int, int],
    axes: tuple[int, int, int],
    toolkit: Toolkit,
    times: Sequence[float],
    words: Sequence[int],
    *,
    shifted: bool,
    device: torch.device,
    bundling: Bundling | None = None,
) -> JointRotary:
    """Of a picture of `size` patches beside texts of so many words, for each row."""
    longest = max(words)
    along = partial(
        side_angles,
        size=size,
        native=native,
        toolkit=toolkit,
        shifted=shifted,
        dtype=torch.float64,
        bundling=bundling,
    )
    asked = times if toolkit.positions in VARYING else [times[0]] * len(times)
    planes = {
        t: _plane(*(turned(along(axis, dim=axes[1 + axis], t=t)).to(device) for axis in (0, 1)))
        for t in set(asked)
    }
    index = turned(angles(torch.arange(longest + 1), axes[0])).to(device)
    origin = index.new_ones(longest, (axes[1] + axes[2]) // 2)
    row = torch.cat((index[:longest], origin), dim=1)
    texts, images, both = [], [], []
    for count, t in zip(words, asked, strict=True):
        plane = planes[t]
        image = torch.cat((index[count].expand(len(plane), -1), plane), dim=1)
        texts.append(row)
        images.append(image)
        both.append(torch.cat((row[:count], image, row[count:])))
    return JointRotary(
        torch.stack(texts), torch.stack(images), torch.stack(both)[:, : longest + len(images[0])]
    )


def _plane(rows: Tensor, columns: Tensor) -> Tensor:
    """(H W, K + L) of rows (H, K) and columns (W, L), row by row."""
    down, across = len(rows), len(columns)
    pair = (rows[:, None].expand(-1, across, -1), columns.expand(down, -1, -1))
    return torch.cat(pair, dim=-1).flatten(0, 1)
