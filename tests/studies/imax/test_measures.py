"""What measures of true detail promise: nothing between equals, more for what is worse, and invariances."""

import random

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sd3demo.studies.imax import measures
from sd3demo.studies.imax.measures import (
    RINGS,
    between,
    detail_excess,
    drift,
    flat_noise,
    patch_distance,
    patches,
    spectral_distance,
    spectrum,
)
from sd3demo.world.exam import exams, truth
from sd3demo.world.render import render

FEATURES = {"spectrum": (spectrum, spectral_distance), "patches": (patches, patch_distance)}


@pytest.fixture(scope="module")
def real() -> list[np.ndarray]:
    rng = random.Random(1)
    scenes = [truth(exam, rng) for name in ("two", "counting") for exam in exams(name, 4)]
    return list(render(scenes, 128).permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("name", FEATURES)
def test_a_set_is_at_no_distance_from_itself(name: str, real: list[np.ndarray]) -> None:
    feature, distance = FEATURES[name]
    found = [feature(picture) for picture in real]
    assert between(found, found, distance) == (0, 0)
    assert distance(found[0], found[0]) == 0


@pytest.mark.parametrize("name", FEATURES)
def test_the_more_it_is_blurred_the_farther_it_is(name: str, real: list[np.ndarray]) -> None:
    feature, distance = FEATURES[name]
    true = [feature(picture) for picture in real]
    found = []
    for sigma in (0.4, 0.8, 1.6, 3.2):
        blurred = [feature(gaussian_filter(picture, (sigma, sigma, 0))) for picture in real]
        found.append(between(blurred, true, distance)[0])
    assert found[0] > 0
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("name", FEATURES)
def test_the_noisier_it_is_the_farther_it_is(name: str, real: list[np.ndarray]) -> None:
    feature, distance = FEATURES[name]
    true = [feature(picture) for picture in real]
    noise = np.random.default_rng(0).normal(size=real[0].shape)
    found = [
        between([feature(picture + level * noise) for picture in real], true, distance)[0]
        for level in (0.01, 0.03, 0.1)
    ]
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("name", FEATURES)
def test_distances_are_the_same_both_ways_and_keep_to_the_triangle(name: str, real: list[np.ndarray]) -> None:
    feature, distance = FEATURES[name]
    a, b, c = (feature(picture) for picture in real[:3])
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9


@pytest.mark.parametrize("name", FEATURES)
def test_a_colour_that_is_added_changes_nothing(name: str, real: list[np.ndarray]) -> None:
    feature, distance = FEATURES[name]
    moved = real[0].astype(np.float64) + np.array([0.1, -0.2, 0.05])
    assert distance(feature(real[0]), feature(moved)) < 0.02


def test_spectra_do_not_care_for_mirrors_and_quarter_turns(real: list[np.ndarray]) -> None:
    for turned in (real[0][::-1], real[0][:, ::-1], np.rot90(real[0])):
        assert spectral_distance(spectrum(real[0]), spectrum(turned)) < 1e-6


def test_patches_do_not_care_where_they_lie(real: list[np.ndarray]) -> None:
    picture = np.zeros((128, 128, 3))
    picture[20:60, 30:50] = 1
    moved = np.roll(picture, (40, 50), (0, 1))
    assert patch_distance(patches(picture), patches(moved)) == 0


def test_a_cosine_is_found_in_its_own_ring() -> None:
    side, mode = 128, 42
    wave = np.cos(np.pi / side * mode * (np.arange(side) + 0.5))
    picture = np.repeat(np.tile(wave[:, None], side)[..., None], 3, axis=2)
    found = spectrum(picture)
    assert found.argmax() == mode * RINGS // side
    others = np.delete(found, found.argmax())
    assert np.allclose(others, 10 * np.log10(measures.ROUNDING))


def test_white_noise_has_its_own_variance_in_every_ring() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (256, 256, 3))
    assert np.allclose(spectrum(noise), -20, atol=1)


def test_patches_of_noise_lie_as_far_apart_as_its_strengths() -> None:
    """White noise of deviation s is seen as a normal of deviation s; W1 of two is (s1 - s2) sqrt(2 / pi)."""
    noise = np.random.default_rng(0).normal(size=(256, 256, 3))
    found = patch_distance(patches(0.2 * noise), patches(0.1 * noise))
    assert found == pytest.approx(0.1 * np.sqrt(2 / np.pi) * 255, rel=0.03)


def test_excess_is_signed_and_looks_beyond_the_native_frequencies_alone(real: list[np.ndarray]) -> None:
    true = spectrum(real[0])
    assert detail_excess(spectrum(gaussian_filter(real[0], (1, 1, 0))), true, 2) < -3
    noisy = real[0] + 0.03 * np.random.default_rng(0).normal(size=real[0].shape)
    assert detail_excess(spectrum(noisy), true, 2) > 3
    raised = true.copy()
    raised[: RINGS // 2] += 10
    assert detail_excess(raised, true, 2) == 0
    assert detail_excess(raised, true, 1) == 0


@pytest.mark.parametrize("size", [(128, 128), (256, 128), (96, 160)])
def test_a_repeated_or_rerendered_picture_has_not_left_the_native_one(size: tuple[int, int]) -> None:
    native = np.random.default_rng(0).random((64, 64, 3)) if size != (96, 160) else np.full((64, 64, 3), 0.3)
    rows, columns = (np.arange(side) * 64 // side for side in size)
    assert drift(native[rows][:, columns], native) < 1e-9


def test_drift_is_the_root_mean_square_at_the_native_size() -> None:
    native = np.full((64, 64, 3), 0.5)
    large = np.full((128, 128, 3), 0.6)
    assert drift(large, native) == pytest.approx(25.5)
    large[::2, ::2] -= 0.04  # what the blocks' means hide moves them by a quarter of it
    assert drift(large, native) == pytest.approx(0.09 * 255)


def test_drift_grows_with_what_is_changed(real: list[np.ndarray]) -> None:
    native = real[0].reshape(64, 2, 64, 2, 3).mean((1, 3))
    found = [drift(share * real[1] + (1 - share) * real[0], native) for share in (0, 0.3, 0.6, 1)]
    assert found[0] < 1e-4
    assert np.all(np.diff(found) > 0)


def large_and_native(side: int = 256, scale: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A disc with a hard edge and a stripe on a gradient, and the same at the native size."""
    rows, columns = np.mgrid[:side, :side] / side
    picture = np.stack([0.3 + 0.2 * rows, 0.4 + 0.1 * columns, np.full_like(rows, 0.5)], axis=2)
    picture[np.hypot(rows - 0.4, columns - 0.4) < 0.2] = (0.9, 0.1, 0.1)
    picture[:, int(0.8 * side) : int(0.83 * side)] = 0
    small = picture.reshape(side // scale, scale, side // scale, scale, 3).mean((1, 3))
    return picture, small


def test_a_flat_picture_and_a_gradient_have_no_noise() -> None:
    flat = np.full((64, 96, 3), 0.37)
    assert flat_noise(flat, flat[::2, ::2]) == pytest.approx(0, abs=1e-3)
    picture, native = large_and_native()
    assert flat_noise(picture, native) < 0.01  # whose edges are not where it is flat
    assert flat_noise(native, native) < 0.01


@pytest.mark.parametrize("sigma", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_white_noise_is_found_with_its_deviation_beside_edges(sigma: float, scale: int) -> None:
    picture, native = large_and_native(scale=scale)
    noise = np.random.default_rng(0).normal(0, sigma / 255, picture.shape)
    assert flat_noise(picture + noise, native) == pytest.approx(sigma, rel=0.03)


def test_a_few_speckles_count_in_full() -> None:
    picture, native = large_and_native()
    speckled = picture.copy()
    drawn = np.random.default_rng(0).random(picture.shape[:2]) < 0.01
    speckled[drawn] += 50 / 255
    assert flat_noise(speckled, native) == pytest.approx(50 * np.sqrt(0.01 * 0.99), rel=0.15)


def test_what_is_made_at_the_larger_size_does_not_decide_where_it_is_looked_at() -> None:
    picture, native = large_and_native()
    noise = np.random.default_rng(0).normal(0, 0.05, picture.shape)
    noise[:, :128] = 0  # a picture's own flattest quarter would be this one
    assert flat_noise(picture + noise, native) > 5


def test_the_error_of_a_mean_is_the_usual_one() -> None:
    """For a distance that is linear the jackknife gives s / sqrt(n) to the last digit."""
    values = np.random.default_rng(0).normal(5, 1, 20)
    ones, others = [np.array([value]) for value in values], [np.zeros(1)] * 20
    found, error = between(ones, others, lambda a, b: float((a - b)[0]))
    assert found == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(20))
    assert between(ones[:1], others[:1], spectral_distance)[1] is None


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 24 pixels a side"):
        spectrum(np.zeros((16, 64, 3)))
    with pytest.raises(ValueError, match="smaller than the native"):
        drift(np.zeros((32, 32, 3)), np.zeros((64, 64, 3)))
    with pytest.raises(ValueError, match="needs 7 a side"):
        flat_noise(np.zeros((64, 64, 3)), np.zeros((6, 64, 3)))
