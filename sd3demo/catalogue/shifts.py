"""The shift that a family is sampled at, as a rule over the picture's size. No torch.

A shift s moves time towards noise, t' = s t / (1 + (s - 1) t); larger pictures want more of it (SD3, eq. 23).
"""

import math
from dataclasses import dataclass
from typing import Protocol


class ShiftRule(Protocol):
    """The default shift at a size, and the one that the size itself suggests."""

    def default(self, pixels: int, native_pixels: int) -> float:
        """The shift of a request that leaves it open."""
        ...

    def scaled(self, pixels: int, native_pixels: int) -> float:
        """The shift of a request that says `auto`."""
        ...


@dataclass(frozen=True)
class ConstantShift:
    """One shift at all sizes (SD3, SD3.5); `auto` is that times sqrt(pixels / native pixels), eq. 23."""

    value: float

    def default(self, pixels: int, native_pixels: int) -> float:
        return self.value

    def scaled(self, pixels: int, native_pixels: int) -> float:
        return self.value * math.sqrt(pixels / native_pixels)


NO_SHIFT = ConstantShift(1.0)
