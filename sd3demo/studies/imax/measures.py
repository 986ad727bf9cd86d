"""How true a produced detail is: spectra and patches of pictures, against real renders of the same captions.

Both measures are features that are averaged over the pictures of a set, and then a distance of two averages.
So a set against itself is at 0, and leaving one picture out is cheap: standard errors are the jackknife's.
A finite set is never quite at 0 from another one of the same kind; renders against renders show how far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.floating]
"""(H, W, 3) in [0, 1]."""
Feature: TypeAlias = NDArray[np.float64]
Distance: TypeAlias = Callable[[Feature, Feature], float]

RINGS = 24
"""Of a spectrum, evenly from the mean to Nyquist's frequency; a side needs more pixels than that."""
ROUNDING = (1 / 255) ** 2 / 12
"""The power of rounding to bytes: what is weaker than it cannot be told."""
PATCH = 7  # pixels along a side
FLAT = 0.25  # of the native picture's pixels: where noise is looked for
DIRECTIONS = 12
LEVELS = 255.0
"""Patches are compared in steps of a byte, as pixels are."""


def spectrum(picture: Picture) -> Feature:
    """(RINGS,): the power of a picture by radial frequency, in dB, over all colours.

    The transform is the cosine one, which continues a picture by its reflection: a background that runs out
    of the frame is no edge. Unchanged when a colour is added, and by mirrors and quarter turns.

    Raises:
        ValueError: a side has not more pixels than RINGS.
    """
    from scipy.fft import dctn

    height, width = picture.shape[:2]
    if min(height, width) <= RINGS:
        raise ValueError(
            f"the picture is {width} x {height}; its spectrum needs more than {RINGS} pixels a side"
        )
    power = np.square(dctn(picture.astype(np.float64), axes=(0, 1), norm="ortho")).mean(2)
    ring, size = _rings(height, width)
    found = np.bincount(ring.ravel(), power.ravel(), minlength=RINGS + 1)[:RINGS]
    decibels: Feature = 10 * np.log10(found / size + ROUNDING)
    return decibels


def patches(picture: Picture) -> Feature:
    """(DIRECTIONS, knots): how the small patches of a picture are spread.

    All PATCH x PATCH patches, each without its own mean colour, seen along fixed random directions; a value
    is the share of patches at or below a knot. Unchanged when a colour is added, and when the picture is
    moved but for its border.
    """
    filters = _directions()
    windows = np.lib.stride_tricks.sliding_window_view(
        picture.astype(np.float32), (PATCH, PATCH), axis=(0, 1)
    )  # (h, w, 3, PATCH, PATCH)
    seen = windows.reshape(-1, filters.shape[1]) @ filters.T  # the directions have no mean colour
    ordered = np.sort(seen, axis=0)
    knots = knots_of_patches().astype(np.float32)
    shares = [np.searchsorted(column, knots, side="right") / len(column) for column in ordered.T]
    return np.array(shares, np.float64)


def spectral_distance(one: Feature, other: Feature) -> float:
    """Root mean square of the difference over the rings, in dB."""
    return float(np.sqrt(np.square(one - other).mean()))


def patch_distance(one: Feature, other: Feature) -> float:
    """The sliced Wasserstein distance of the patches, in steps of a byte (0 to 255)."""
    gaps = np.abs(one - other)
    steps = np.diff(knots_of_patches())
    return float(((gaps[:, 1:] + gaps[:, :-1]) / 2 @ steps).mean() * LEVELS)


def detail_excess(one: Feature, other: Feature, scale: float) -> float:
    """How much more power than the other one has beyond the native picture's frequencies, in dB.

    Below 0 it is too soft, above 0 it has noise or edges that should not be there. 0 at scale 1.
    """
    beyond = (np.arange(RINGS) + 0.5) / RINGS >= 1 / scale
    return float((one - other)[beyond].mean()) if beyond.any() else 0.0


def drift(picture: Picture, native: Picture) -> float:
    """How far a picture has left the native one at the native size: root mean square, in steps of a byte.

    Both are seen through the mean over the same blocks, so that the native picture repeated is at 0.

    Raises:
        ValueError: the picture is smaller than the native one.
    """
    if min(have - need for have, need in zip(picture.shape[:2], native.shape[:2], strict=True)) < 0:
        raise ValueError(f"a picture of {picture.shape} is smaller than the native one of {native.shape}")
    rows, columns = (_shares(have, need) for have, need in zip(picture.shape, native.shape[:2], strict=False))
    seen = np.einsum("ih,hwc,jw->ijc", rows, picture.astype(np.float64), columns, optimize=True)
    return float(np.sqrt(np.square(seen - native).mean()) * LEVELS)


def flat_noise(picture: Picture, native: Picture) -> float:
    """How noisy a picture is where the native one is flat: a standard deviation, in steps of a byte.

    Flat is the quarter of the native pixels about which the native picture varies least, so that what is made
    at the larger size does not decide where it is looked at, and sparse speckles count in full. What differs
    from its surroundings' mean is noise: a flat picture and a gradient have none, and white noise has its own
    deviation.

    Raises:
        ValueError: a side of either picture has fewer pixels than a patch.
    """
    from scipy.ndimage import uniform_filter

    if min(*picture.shape[:2], *native.shape[:2]) < PATCH:
        raise ValueError(
            f"pictures of {picture.shape[:2]} and {native.shape[:2]} pixels; "
            f"noise needs {PATCH} a side in both"
        )
    window, edge = (PATCH, PATCH, 1), PATCH // 2
    own = native.astype(np.float64)
    own = own - own.mean((0, 1))
    spread = (uniform_filter(own**2, window) - uniform_filter(own, window) ** 2).max(2)
    flat = spread <= np.quantile(spread, FLAT) + 1e-12
    rows, columns = (
        np.arange(have) * need // have for have, need in zip(picture.shape[:2], native.shape[:2], strict=True)
    )
    inside = (slice(edge, -edge), slice(edge, -edge))
    seen = flat[rows][:, columns][inside]
    if not seen.any():
        return 0.0
    large = picture.astype(np.float32)
    beside = (large - uniform_filter(large, window))[inside][seen]
    share = 1 - 1 / PATCH**2  # of white noise that is left without its mean over a window
    return float(np.sqrt(np.square(beside, dtype=np.float64).mean() / share) * LEVELS)


def between(
    ones: Sequence[Feature], others: Sequence[Feature], distance: Distance
) -> tuple[float, float | None]:
    """The distance of two sets that were made for the same prompts, and its standard error.

    The error is the jackknife's: each prompt left out of both sets in turn. None for a single prompt.
    """
    one, other = np.stack(ones), np.stack(others)
    whole, n = distance(one.mean(0), other.mean(0)), len(one)
    if n < 2:
        return whole, None
    less = [
        distance((one.sum(0) - a) / (n - 1), (other.sum(0) - b) / (n - 1))
        for a, b in zip(one, other, strict=True)
    ]
    return whole, float(np.sqrt((n - 1) * np.var(less)))


@cache
def knots_of_patches() -> Feature:
    """Where the shares of patches are counted: dense about 0, but not at 0, where flat ones lie."""
    return np.sinh(np.linspace(-6, 6, 48)) / np.sinh(6) * 3


@cache
def _directions() -> NDArray[np.float32]:
    """(DIRECTIONS, 3 PATCH PATCH): directions of unit length, at right angles to a change of the colour."""
    drawn = np.random.default_rng(0).normal(size=(DIRECTIONS, 3, PATCH * PATCH))
    drawn -= drawn.mean(2, keepdims=True)
    drawn /= np.sqrt(np.square(drawn).sum((1, 2), keepdims=True))
    return drawn.reshape(DIRECTIONS, -1).astype(np.float32)


@cache
def _rings(height: int, width: int) -> tuple[NDArray[np.intp], Feature]:
    """Each cosine mode's ring, RINGS for the mean and for what lies beyond Nyquist's; and sizes of rings."""
    radius = np.hypot(np.arange(height)[:, None] / height, np.arange(width)[None] / width)
    ring = np.minimum((radius * RINGS).astype(np.intp), RINGS)
    ring[0, 0] = RINGS
    return ring, np.bincount(ring.ravel(), minlength=RINGS + 1)[:RINGS].astype(np.float64)


@cache
def _shares(have: int, need: int) -> Feature:
    """(need, have): the mean over `need` equal parts of a side of `have` pixels, cut where need be."""
    edges = np.linspace(0, have, need + 1)
    left, right = np.arange(have), np.arange(1, have + 1)
    inside = np.minimum(right, edges[1:, None]) - np.maximum(left, edges[:-1, None])
    covered: Feature = np.clip(inside, 0, None) * need / have
    return covered
