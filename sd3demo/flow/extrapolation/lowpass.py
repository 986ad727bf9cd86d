"""Linear low-pass operators P on latents (..., H, W): what of a picture counts as its composition.

All of them are linear and leave a constant alone.  `haar` and `dct` are projections (P P = P); they and the
smooth `radial` and `gaussian` are self-adjoint; `bicubic` is neither.  A cut-off is a share of the latent's
own Nyquist frequency: 1 is the finest grid wave, 0 keeps only the mean.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

LowPass: TypeAlias = Callable[[Tensor], Tensor]
"""P, from (B, C, H, W) to the same shape."""

Border: TypeAlias = Literal["wrap", "mirror"]


def haar(x: Tensor, level: int) -> Tensor:
    """The mean over blocks of 2^level by 2^level, repeated back: a Haar transform without its details.

    Level 1 is the default of I-Max's release; 0 is the identity.  Where a side is no multiple of the block,
    the last block is cut at the border and its mean is that of the entries it has, so that P stays an
    orthogonal projection.

    Raises:
        ValueError: level is negative.
    """
    if level < 0:
        raise ValueError(f"level is {level}; a Haar low-pass needs 0 (the identity) or more, such as 1")
    block, (height, width) = 2**level, x.shape[-2:]
    if height % block == 0 and width % block == 0:
        return _blocks(_widened(x), level).to(x.dtype)
    means = functional.avg_pool2d(_planes(x), block, ceil_mode=True)
    blocks = means.repeat_interleave(block, -2).repeat_interleave(block, -1)
    return blocks[..., :height, :width].reshape(x.shape)


def radial(x: Tensor, cutoff: float, order: int = 4, *, border: Border = "wrap") -> Tensor:
    """Butterworth's low-pass: gain 1 / (1 + (r / cutoff)^(2 order)) at radial frequency r; 1/2 at the cutoff.

    border "wrap" is Fourier's, for which the left edge is the right one's neighbour; "mirror" continues the
    picture by its reflection.

    Raises:
        ValueError: cutoff is not in [0, 1], or order < 1.
    """
    if order < 1:
        raise ValueError(f"order is {order}; a Butterworth low-pass needs 1 (gentle) or more, such as 4")
    return _filtered(x, cutoff, border, lambda r: 1 / (1 + r ** (2 * order)))


def gaussian(x: Tensor, cutoff: float, *, border: Border = "wrap") -> Tensor:
    """A blur: gain 2^-(r / cutoff)^2 at radial frequency r, like `radial` 1/2 at the cut-off, but no ringing.

    Raises:
        ValueError: cutoff is not in [0, 1].
    """
    return _filtered(x, cutoff, border, lambda r: torch.exp2(-(r**2)))


def dct(x: Tensor, cutoff: float) -> Tensor:
    """The ideal low-pass: the cosine modes (DCT-II) below the cut-off in each direction, none of the others.

    It keeps as many as a picture of cutoff times the size has, and the mean at least.

    Raises:
        ValueError: cutoff is not in [0, 1].
    """
    _check_cutoff(cutoff)
    rows, columns = (_cosines(size, x) for size in x.shape[-2:])
    rows, columns = (basis[: max(1, round(cutoff * len(basis)))] for basis in (rows, columns))
    return (rows.T @ (rows @ x.to(rows) @ columns.T) @ columns).to(x.dtype)


def bicubic(x: Tensor, scale: float) -> Tensor:
    """Down by `scale` and up again, bicubic both ways, antialiased on the way down.

    Raises:
        ValueError: scale < 1.
    """
    if scale < 1:
        raise ValueError(f"scale is {scale}; a low-pass shrinks, so it needs 1 (the identity) or more")
    height, width = x.shape[-2:]
    small = (max(1, round(height / scale)), max(1, round(width / scale)))
    down = functional.interpolate(_planes(_widened(x)), size=small, mode="bicubic", antialias=True)
    up = functional.interpolate(down, size=(height, width), mode="bicubic")
    return up.reshape(x.shape).to(x.dtype)


def _filtered(x: Tensor, cutoff: float, border: Border, gain: Callable[[Tensor], Tensor]) -> Tensor:
    """x with each mode multiplied by the gain at its radial frequency, in units of the cut-off."""
    _check_cutoff(cutoff)
    height, width = x.shape[-2:]
    full = _widened(x)
    if border == "wrap":
        rows, columns = torch.fft.fftfreq(height, 1 / 2), torch.fft.rfftfreq(width, 1 / 2)
        gains = _gains(rows, columns, cutoff, gain).to(full)
        return torch.fft.irfft2(torch.fft.rfft2(full) * gains, s=(height, width)).to(x.dtype)
    down, across = _cosines(height, full), _cosines(width, full)
    gains = _gains(torch.arange(height) / height, torch.arange(width) / width, cutoff, gain).to(full)
    return (down.T @ ((down @ full @ across.T) * gains) @ across).to(x.dtype)


def _gains(rows: Tensor, columns: Tensor, cutoff: float, gain: Callable[[Tensor], Tensor]) -> Tensor:
    """The gain of every pair of frequencies, in shares of Nyquist's, (H, W)."""
    radius = torch.hypot(rows[:, None].double(), columns[None, :].double())
    if cutoff == 0:
        return (radius == 0).double()
    return gain(radius / cutoff)


def _cosines(size: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II as a matrix, a mode in each row: mode k has k / size of Nyquist's frequency."""
    modes = torch.arange(size, dtype=torch.float64)
    basis = math.sqrt(2 / size) * torch.cos(math.pi / size * modes[:, None] * (modes[None, :] + 0.5))
    basis[0] /= math.sqrt(2)
    return basis.to(like.device, torch.promote_types(like.dtype, torch.float32))


def _widened(x: Tensor) -> Tensor:
    """x in float32 at least: neither transforms nor antialiasing exist in half precision everywhere."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _blocks(x: Tensor, level: int) -> Tensor:
    """The mean over blocks, for sides that divide: sums of neighbours are several times as fast as pooling.

    Neighbours in a row first, whose sums halve what the rest has to read. A complex number with twice the
    same part is a number that stands twice in a row, so means are repeated by the making of complex ones.
    """
    if level == 0:
        return x
    means = x
    for _ in range(level):
        means = means[..., ::2] + means[..., 1::2]
        means = means[..., ::2, :] + means[..., 1::2, :]
    means = means.mul_(0.25**level)
    for _ in range(level - 1):
        means = torch.view_as_real(torch.complex(means, means)).flatten(-2)
    rows = means.unsqueeze(-2).expand(*means.shape[:-1], 2**level, -1)
    return torch.view_as_real(torch.complex(rows, rows)).reshape(x.shape)


def _planes(x: Tensor) -> Tensor:
    """(..., H, W) as (N, 1, H, W), the shape that pooling and resizing take."""
    return x.reshape(-1, 1, *x.shape[-2:])


def _check_cutoff(cutoff: float) -> None:
    if not 0 <= cutoff <= 1:
        raise ValueError(f"cutoff is {cutoff}; it is a share of the Nyquist frequency, in [0, 1]")


LOW_PASSES: Mapping[str, Callable[[Tensor, int, float], Tensor]] = {
    "haar-1": lambda x, level, cutoff: haar(x, 1),  # I-Max's release, whatever the scale
    "haar": lambda x, level, cutoff: haar(x, level),
    "radial": lambda x, level, cutoff: radial(x, cutoff, border="mirror"),
    "gaussian": lambda x, level, cutoff: gaussian(x, cutoff, border="mirror"),
    "dct": lambda x, level, cutoff: dct(x, cutoff),
    "bicubic": lambda x, level, cutoff: bicubic(x, 1 / max(cutoff, 1 / max(x.shape[-2:]))),
}
"""A name -> its operator on (x, level, cutoff).

A block of s by s is haar's level log2 s. For a guide that was enlarged by s: above 1 / s of the latent's
Nyquist frequency, its own before, it holds what pixel interpolation and the encoder have put there and no
detail of the picture. That is not little: 34% (2x) and 40% (4x) of the energy without the mean, measured on
the embedded model's guides.
"""


def low_pass_named(x: Tensor, *, name: str, level: int, cutoff: float) -> Tensor:
    """Apply the operator of a name in LOW_PASSES: `level` is haar's alone, `cutoff` that of the others.

    Raises:
        ValueError: no such name, or what the operator itself refuses.
    """
    if name not in LOW_PASSES:
        raise ValueError(f"unknown low-pass {name!r}; choose one of {', '.join(LOW_PASSES)}")
    return LOW_PASSES[name](x, level, cutoff)
