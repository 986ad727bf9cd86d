"""Forward paths: slopes against differences, every conversion there and back, the published schedules."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.flow.paths import EDM, PATHS, Ends, Path, ends, noised, prediction

paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
PREDICTIONS = ("v", "x0", "eps")

# Off the knots of the 1000 discrete betas, where the slope of that path jumps.
T = torch.linspace(0.0203, 0.9803, 97, dtype=torch.float64)


def slope(function, t: Tensor) -> Tensor:
    h = 1e-6
    return (function(t + h) - function(t - h)) / (2 * h)


@pytest.fixture
def pair() -> Ends:
    generator = torch.Generator().manual_seed(2)
    return Ends(*torch.randn((2, len(T), 2, 3, 3), generator=generator, dtype=torch.float64))


@paths
def test_slopes_are_those_of_the_amplitudes(path: Path) -> None:
    da, db = path.slopes(T)
    torch.testing.assert_close(da, slope(path.a, T), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(db, slope(path.b, T), rtol=1e-6, atol=1e-8)


@paths
def test_the_log_snr_is_that_of_the_amplitudes_and_falls(path: Path) -> None:
    log_snr = path.log_snr(T)
    torch.testing.assert_close(log_snr, 2 * torch.log(path.a(T) / path.b(T)))
    assert bool((log_snr.diff() < 0).all())
    torch.testing.assert_close(path.log_snr_slope(T), slope(path.log_snr, T), rtol=1e-6, atol=0)


@paths
def test_the_velocity_is_equation_10(path: Path, pair: Ends) -> None:
    def over(amplitude: Tensor) -> Tensor:
        return amplitude.reshape(-1, 1, 1, 1)

    z, (da, _) = noised(path, pair, T), path.slopes(T)
    paper = over(da / path.a(T)) * z - over(path.b(T) / 2 * path.log_snr_slope(T)) * pair.eps
    torch.testing.assert_close(prediction(path, pair, T, wanted="v"), paper)


@paths
def test_the_velocity_is_the_slope_of_the_noised_data(path: Path, pair: Ends) -> None:
    moved = slope(lambda t: noised(path, pair, t), T)
    torch.testing.assert_close(prediction(path, pair, T, wanted="v"), moved, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("given", "wanted"), product(PREDICTIONS, PREDICTIONS))
@paths
def test_every_prediction_is_recovered_from_every_other(
    path: Path, given: str, wanted: str, pair: Ends
) -> None:
    z = noised(path, pair, T)
    recovered = ends(path, z, T, given=given, value=prediction(path, pair, T, wanted=given))
    expected = prediction(path, pair, T, wanted=wanted)
    torch.testing.assert_close(prediction(path, recovered, T, wanted=wanted), expected, rtol=1e-8, atol=1e-9)


@paths
def test_one_time_for_all_is_the_same_as_one_for_each(path: Path, pair: Ends) -> None:
    t = 0.3
    each = torch.full((len(T),), t, dtype=torch.float64)
    assert torch.equal(noised(path, pair, t), noised(path, pair, each))


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_the_rectified_flow_recovers_both_ends_from_the_velocity_at_any_time(t: float, pair: Ends) -> None:
    path = PATHS["rectified"]
    z, v = noised(path, pair, t), pair.eps - pair.x0
    torch.testing.assert_close(prediction(path, pair, t, wanted="v"), v)
    recovered = ends(path, z, t, given="v", value=v)
    torch.testing.assert_close(recovered.x0, z - t * v)
    torch.testing.assert_close(recovered.eps, z + (1 - t) * v)
    torch.testing.assert_close(recovered, pair)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["rectified", "cosine"])
def test_a_path_goes_from_pure_data_to_pure_noise(name: str, dtype: torch.dtype) -> None:
    path, t = PATHS[name], torch.tensor([0.0, 1.0], dtype=dtype)
    assert path.a(t).tolist() == [1, 0]
    assert path.b(t).tolist() == [0, 1]
    assert path.log_snr(t).tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize("name", ["cosine", "ldm-linear"])
def test_a_variance_preserving_path_preserves_variance(name: str) -> None:
    path = PATHS[name]
    torch.testing.assert_close(path.a(T) ** 2 + path.b(T) ** 2, torch.ones_like(T))


@pytest.mark.parametrize("path", [EDM(), EDM(mean=0.6, std=1.0)])
def test_the_log_snr_of_edm_is_normal_for_uniform_times(path: EDM) -> None:
    deviate = (path.log_snr(T) + 2 * path.mean) / (2 * path.std)
    torch.testing.assert_close(torch.special.ndtr(deviate), 1 - T)


def test_the_linear_path_is_the_product_of_its_betas_where_a_discrete_step_ends() -> None:
    betas = np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2
    t = torch.arange(1001, dtype=torch.float64) / 1000
    expected = np.append(1, np.sqrt(np.cumprod(1 - betas)))
    torch.testing.assert_close(PATHS["ldm-linear"].a(t), torch.from_numpy(expected), rtol=1e-12, atol=0)


@pytest.mark.parity
def test_the_linear_path_has_the_discrete_alphas_of_diffusers() -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    a = PATHS["ldm-linear"].a(t)
    torch.testing.assert_close(
        a**2, scheduler.alphas_cumprod.double(), rtol=1e-4, atol=0
    )  # theirs is float32


def test_the_linear_path_ends_with_a_little_data_left() -> None:
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert PATHS["ldm-linear"].a(t).tolist() == pytest.approx([1, 0.0683], abs=1e-4)
