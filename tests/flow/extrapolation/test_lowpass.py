"""Low-pass operators: linear, true to a constant; and whatever more each of them claims."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.flow.extrapolation.lowpass import (
    LOW_PASSES,
    bicubic,
    dct,
    gaussian,
    haar,
    low_pass_named,
    radial,
)


def low_pass_for(name: str, scale: float) -> Callable[[Tensor], Tensor]:
    """The operator of a name as a plan chooses it for a guide enlarged by `scale`."""
    return partial(low_pass_named, name=name, level=round(math.log2(scale)), cutoff=1 / scale)


SIZES = [(16, 16), (13, 10), (7, 1)]

OPERATORS = {
    "haar 0": partial(haar, level=0),
    "haar 1": partial(haar, level=1),
    "haar 3": partial(haar, level=3),
    "haar 5": partial(haar, level=5),
    "dct 0.3": partial(dct, cutoff=0.3),
    "dct 1": partial(dct, cutoff=1),
    "radial 0.3": partial(radial, cutoff=0.3),
    "radial 0": partial(radial, cutoff=0),
    "radial mirrored": partial(radial, cutoff=0.4, order=2, border="mirror"),
    "gaussian 0.5": partial(gaussian, cutoff=0.5),
    "gaussian 0": partial(gaussian, cutoff=0, border="mirror"),
    "bicubic 2": partial(bicubic, scale=2),
    "bicubic 1.5": partial(bicubic, scale=1.5),
} | {f"{name} for 2": low_pass_for(name, 2) for name in LOW_PASSES}

operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
sizes = pytest.mark.parametrize("size", SIZES, ids=str)


def only(*prefixes: str):
    names = [name for name in OPERATORS if name.startswith(prefixes)]
    return pytest.mark.parametrize("operator", [OPERATORS[name] for name in names], ids=names)


def latents(size: tuple[int, int], count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return list(torch.randn((count, 2, 3, *size), generator=generator, dtype=torch.float64))


@operators
@sizes
def test_a_low_pass_is_linear(operator: Callable[[Tensor], Tensor], size: tuple[int, int]) -> None:
    x, y = latents(size)
    torch.testing.assert_close(operator(2 * x - 3 * y), 2 * operator(x) - 3 * operator(y))


@operators
@sizes
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_low_pass_leaves_a_constant_alone(
    operator: Callable[[Tensor], Tensor], size: tuple[int, int], dtype: torch.dtype
) -> None:
    x = torch.full((1, 2, *size), 1.5, dtype=dtype)
    passed = operator(x)
    assert (passed.dtype, passed.shape) == (x.dtype, x.shape)
    torch.testing.assert_close(passed, x)


@only("haar", "dct")
@sizes
def test_a_projection_does_nothing_the_second_time(
    operator: Callable[[Tensor], Tensor], size: tuple[int, int]
) -> None:
    once = operator(latents(size)[0])
    torch.testing.assert_close(operator(once), once)


@only("haar", "dct", "radial", "gaussian")
@sizes
def test_a_symmetric_low_pass_is_self_adjoint(
    operator: Callable[[Tensor], Tensor], size: tuple[int, int]
) -> None:
    x, y = latents(size)
    torch.testing.assert_close((operator(x) * y).sum(), (x * operator(y)).sum())


@operators
def test_channels_and_samples_do_not_mix(operator: Callable[[Tensor], Tensor]) -> None:
    x = latents((12, 10))[0]
    alone = torch.stack([torch.stack([operator(plane[None, None])[0, 0] for plane in image]) for image in x])
    torch.testing.assert_close(operator(x), alone)


@pytest.mark.parametrize("name", LOW_PASSES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_low_pass_for_a_scale_keeps_what_is_slow_and_drops_the_finest_wave(name: str, scale: float) -> None:
    """Slow: an eighth of the guide's own Nyquist frequency. Finest: the checkerboard."""
    n = 96
    place = torch.arange(n, dtype=torch.float64)
    slow = torch.cos(math.pi * (place + 0.5) * (n / scale / 8) / n).expand(1, 1, n, n)
    finest = ((-1) ** (place[:, None] + place)).expand(1, 1, n, n)
    low_pass = low_pass_for(name, scale)
    assert float((low_pass(slow) - slow).norm() / slow.norm()) < 0.15
    assert float(low_pass(finest).norm() / finest.norm()) < 0.02


def test_the_first_haar_low_pass_has_blocks_of_two_whatever_the_level() -> None:
    x = latents((16, 16))[0]
    for level in (1, 2, 3):
        assert torch.equal(low_pass_named(x, name="haar", level=level, cutoff=0.5), haar(x, level))
        assert torch.equal(low_pass_named(x, name="haar-1", level=level, cutoff=0.5), haar(x, 1))


def test_haar_is_the_mean_of_each_block_cut_at_the_border() -> None:
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    expected = [[3, 3, 5, 5, 6.5], [3, 3, 5, 5, 6.5], [10.5, 10.5, 12.5, 12.5, 14]]
    assert haar(x, 1)[0, 0].tolist() == expected


@sizes
def test_haar_of_a_block_beyond_the_picture_is_the_mean(size: tuple[int, int]) -> None:
    x = latents(size)[0]
    torch.testing.assert_close(haar(x, 6), x.mean((-2, -1), keepdim=True).expand_as(x))


@pytest.mark.parity
@pytest.mark.parametrize("level", [1, 2, 3])
def test_haar_is_the_wavelet_transform_without_its_details(level: int) -> None:
    pywt = pytest.importorskip("pywt")
    x = latents((16, 24))[0]
    approximation, *details = pywt.wavedec2(x.numpy(), "haar", level=level)
    zeros = [tuple(np.zeros_like(band) for band in bands) for bands in details]
    theirs = pywt.waverec2([approximation, *zeros], "haar")
    torch.testing.assert_close(haar(x, level), torch.from_numpy(theirs))


@pytest.mark.parity
@pytest.mark.parametrize("size", SIZES[:2])
def test_the_ideal_low_pass_is_the_cosine_transform_of_scipy_cut_off(size: tuple[int, int]) -> None:
    from scipy.fft import dctn, idctn

    x = latents(size)[0]
    modes = dctn(x.numpy(), axes=(-2, -1), norm="ortho")
    height, width = (round(0.4 * side) for side in size)
    modes[..., height:, :], modes[..., width:] = 0, 0
    torch.testing.assert_close(dct(x, 0.4), torch.from_numpy(idctn(modes, axes=(-2, -1), norm="ortho")))


def test_an_ideal_low_pass_of_the_whole_band_is_the_identity_and_of_none_the_mean() -> None:
    x = latents((12, 10))[0]
    torch.testing.assert_close(dct(x, 1), x)
    for low_pass in (dct, radial, gaussian):
        torch.testing.assert_close(low_pass(x, 0), x.mean((-2, -1), keepdim=True).expand_as(x))


@pytest.mark.parametrize(("rows", "columns"), [(0, 8), (3, 4), (16, 0), (10, 10)])
@pytest.mark.parametrize(
    ("low_pass", "gain"),
    [
        (partial(radial, cutoff=0.5), lambda r: 1 / (1 + (r / 0.5) ** 8)),
        (partial(radial, cutoff=0.25, order=2), lambda r: 1 / (1 + (r / 0.25) ** 4)),
        (partial(gaussian, cutoff=0.5), lambda r: math.exp(-math.log(2) * (r / 0.5) ** 2)),
    ],
    ids=["radial", "radial order 2", "gaussian"],
)
def test_a_wave_is_scaled_by_the_gain_at_its_frequency(low_pass, gain, rows: int, columns: int) -> None:
    n = 32  # so that wave k has the share k / 16 of Nyquist's frequency
    y, x = torch.meshgrid(*[torch.arange(n, dtype=torch.float64)] * 2, indexing="ij")
    wave = torch.cos(2 * math.pi * (rows * y + columns * x) / n + 0.3)[None, None]
    torch.testing.assert_close(low_pass(wave), gain(math.hypot(rows, columns) / 16) * wave)
    # Between mirrors the modes are half-waves, symmetric about the picture's borders.
    mode = torch.cos(math.pi * rows * (y + 0.5) / n) * torch.cos(math.pi * columns * (x + 0.5) / n)
    passed = low_pass(mode[None, None], border="mirror")
    torch.testing.assert_close(passed, gain(math.hypot(rows, columns) / n) * mode[None, None])


def test_both_smooth_low_passes_halve_what_is_at_the_cutoff() -> None:
    place = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 4 * place / 32).expand(1, 1, 32, 32)
    for low_pass in (radial, gaussian):
        torch.testing.assert_close(low_pass(wave, 4 / 16), wave / 2)


@pytest.mark.parametrize("low_pass", [radial, gaussian])
def test_only_a_wrapped_border_leaks_to_the_opposite_side(low_pass) -> None:
    x = torch.zeros((1, 1, 32, 32), dtype=torch.float64)
    x[..., 0] = 1
    wrapped, mirrored = (
        low_pass(x, 0.5, border=border)[0, 0, :, -1].abs().max() for border in ("wrap", "mirror")
    )
    assert wrapped > 0.1
    assert mirrored < 0.02


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: haar(x, -1), "level is -1; a Haar low-pass needs 0"),
        (lambda x: radial(x, 1.5), r"cutoff is 1.5; it is a share of the Nyquist frequency, in \[0, 1\]"),
        (lambda x: radial(x, 0.5, 0), "order is 0; a Butterworth low-pass needs 1"),
        (lambda x: gaussian(x, -0.1), "cutoff is -0.1"),
        (lambda x: dct(x, math.nan), "cutoff is nan"),
        (lambda x: bicubic(x, 0.5), "scale is 0.5; a low-pass shrinks"),
    ],
)
def test_a_low_pass_that_cannot_be_says_why(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call(torch.zeros((1, 1, 4, 4)))
