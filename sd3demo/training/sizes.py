"""The sizes that a flow is trained at (SD3 section 5.3.2): which pictures, and where their patches lie.

Every size looks through one window: its patches are spread over the native size's positions, native / S apart
for a picture S times as large, and centred for other shapes. That is what sampling does under the positions
`interpolate`, and it is done here by the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from diffusers import SD3Transformer2DModel
from torch import Tensor

from sd3demo.flow.extrapolation.tuning import Toolkit
from sd3demo.models.sd3.positions import PositionCache
from sd3demo.training.autoencoder import FACTOR
from sd3demo.training.transformer import NATIVE, PATCH
from sd3demo.world.scenes import Scene

UNIT = FACTOR * PATCH
"""Pixels along a side of a patch; sides divide by it."""
SMALLEST, LARGEST = 4 * UNIT, 64 * UNIT
APART = 1.25
"""How far the sides of a native size may be from the model's own before proportions give way."""


@dataclass(frozen=True, order=True)
class PictureSize:
    """A picture's sides in pixels."""

    width: int
    height: int

    @classmethod
    def read(cls, text: str) -> PictureSize:
        """'96' or '96x64'. Raises ValueError with what is wrong."""
        sides = text.strip().lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() for side in sides):
            raise ValueError(f"names {text!r}; a size is a side such as 96, or width x height such as 96x64")
        size = cls(int(sides[0]), int(sides[-1]))
        for side in (size.width, size.height):
            if side % UNIT or not SMALLEST <= side <= LARGEST:
                nearest = min(max(round(side / UNIT) * UNIT, SMALLEST), LARGEST)
                raise ValueError(
                    f"names {text}; sides divide by {UNIT}, from {SMALLEST} to {LARGEST} px: try {nearest}"
                )
        return size

    @classmethod
    def of_latent(cls, rows: int, columns: int) -> PictureSize:
        """The size whose latent has so many rows and columns."""
        return cls(columns * FACTOR, rows * FACTOR)

    def __str__(self) -> str:
        return f"{self.width}" if self.width == self.height else f"{self.width}x{self.height}"

    @property
    def scale(self) -> float:
        """How many times larger than the native size its sides are, by the areas."""
        return math.sqrt(self.width * self.height) / OWN.width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.height // UNIT, self.width // UNIT

    @property
    def latent(self) -> tuple[int, int]:
        """Rows and columns of the latent."""
        return self.height // FACTOR, self.width // FACTOR

    @property
    def native(self) -> PictureSize:
        """The size that sampling would begin from: of the same proportions where whole patches allow it, and
        the native area, or nearly."""
        common = math.gcd(*self.grid)
        rows, columns = (side // common for side in self.grid)
        sizes = [
            PictureSize(columns * k * UNIT, rows * k * UNIT) for k in range(1, max(common, OWN.grid[0]) + 1)
        ]
        best = min(sizes, key=lambda size: abs(math.log(size.scale)))
        if abs(math.log(best.scale)) <= math.log(APART):
            return best
        width, height = (max(round(side / self.scale / UNIT), 1) * UNIT for side in (self.width, self.height))
        return PictureSize(width, height)


OWN = PictureSize(NATIVE * FACTOR, NATIVE * FACTOR)
"""The native size of the embedded model."""


def rows_of(size: PictureSize, batch: int) -> int:
    """Pictures of this size that are about as many patches as `batch` native ones."""
    return max(1, round(batch / size.scale**2))


class Positions:
    """Positions of the patches at every size, made once each from the network's own table."""

    def __init__(self, network: SD3Transformer2DModel) -> None:
        self._network = network
        self._found: dict[PictureSize, Tensor] = {}

    def __call__(self, size: PictureSize) -> Tensor:
        """(1, patches, D): the table's own where the size is native."""
        if size not in self._found:
            native = size.native
            spread = Toolkit("extend" if native == size else "interpolate", native.latent)
            self._found[size] = PositionCache(self._network, spread)(*size.latent, 0.0, False)
        return self._found[size]


def fitted(scene: Scene, size: PictureSize, unit: int) -> Scene:
    """The scene on a picture of another shape, in units of so many pixels: places are stretched with the
    picture, things and letters are as large as on a square of its shorter side."""
    across, down, grown = (side / unit for side in (size.width, size.height, min(size.width, size.height)))
    groups = tuple(
        tuple(replace(thing, x=thing.x * across, y=thing.y * down, r=thing.r * grown) for thing in group)
        for group in scene.groups
    )
    word = scene.lettering
    if word is not None:
        word = replace(word, x=word.x * across, y=word.y * down, height=word.height * grown)
    return replace(scene, groups=groups, lettering=word)
