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

    def larger(self, shift: float, scale: float, times: float | None) -> float:
        """The shift of a stage `scale` times larger than a native one at `shift`.

        `times` is what the paper of a method multiplies the scale by; None is the family's own rule.
        """
        ...


IMAX_FLUX = 1.5
"""Times the scale: the shift of FLUX.1's larger stages (I-Max, section 2.3)."""


@dataclass(frozen=True)
class ConstantShift:
    """One shift at all sizes (SD3, SD3.5); `auto` is that times sqrt(pixels / native pixels), eq. 23."""

    value: float

    def default(self, pixels: int, native_pixels: int) -> float:
        return self.value

    def scaled(self, pixels: int, native_pixels: int) -> float:
        return self.value * math.sqrt(pixels / native_pixels)

    def larger(self, shift: float, scale: float, times: float | None) -> float:
        return shift * scale * (1.0 if times is None else times)


@dataclass(frozen=True)
class LinearMuShift:
    """e^mu, where mu is linear in the number of patches (FLUX.1's and diffusers' dynamic shifting).

    The line was drawn for `tokens` of a picture and grows without bound beyond them: 3.2 at 1024 px, 25 at
    2048, above 100,000 at 4096. Pictures of more than `most` patches, which are beyond the sizes in training,
    have the shift of that many; `auto` is eq. 23 from the native size on.
    """

    base: float = 0.5
    top: float = 1.15
    tokens: tuple[int, int] = (256, 4096)
    patch_side: int = 16
    """Pixels."""
    most: int = 16384
    exponential: bool = True
    """Whether the shift is e^mu (diffusers' `time_shift_type` "exponential") or mu itself ("linear")."""

    def default(self, pixels: int, native_pixels: int) -> float:
        low, high = self.tokens
        count = min(pixels / self.patch_side**2, self.most)
        mu = self.base + (self.top - self.base) * (count - low) / (high - low)
        return math.exp(mu) if self.exponential else mu

    def scaled(self, pixels: int, native_pixels: int) -> float:
        return self.default(native_pixels, native_pixels) * math.sqrt(pixels / native_pixels)

    def larger(self, shift: float, scale: float, times: float | None) -> float:
        """I-Max's is 1.5 s in all, whatever the native shift is; by itself it is no less than the native."""
        return max(shift, IMAX_FLUX * scale) if times is None else times * scale


NO_SHIFT = ConstantShift(1.0)
