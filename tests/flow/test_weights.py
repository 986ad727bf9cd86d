"""Loss weights: what the paper prints, derived again from the paths that they belong to."""

import math

import pytest
import torch

from sd3demo.flow.densities import DENSITIES, Density, LogitNormal, Uniform
from sd3demo.flow.paths import EDM, PATHS, Ends, ends, noised, prediction
from sd3demo.flow.weights import (
    LOSS_WEIGHTS,
    edm_weight,
    effective_weight,
    flow_matching_weight,
    plain_angle_weight,
    plain_noise_weight,
)

T = torch.linspace(0.0203, 0.9803, 97, dtype=torch.float64)

# Each printed weight as the plain squared error it stands for, and the constant between the two.
DERIVED = {
    "rectified": (1, lambda: flow_matching_weight(PATHS["rectified"], T)),
    "edm": (1, lambda: -(PATHS["edm"].b(T) ** 2 + 0.5**2) / PATHS["edm"].log_snr_slope(T)),
    "cosine-eps": (math.pi, lambda: plain_noise_weight(PATHS["cosine"], T)),
    "cosine-v": (math.pi / 2, lambda: plain_angle_weight(PATHS["cosine"], T)),
    "ldm-linear-eps": (1, lambda: plain_noise_weight(PATHS["ldm-linear"], T)),
    "ldm-linear-v": (1, lambda: plain_angle_weight(PATHS["ldm-linear"], T)),
}


@pytest.mark.parametrize("name", LOSS_WEIGHTS)
def test_a_printed_weight_is_the_squared_error_it_stands_for(name: str) -> None:
    factor, derived = DERIVED[name]
    torch.testing.assert_close(LOSS_WEIGHTS[name](T), factor * derived(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_flow_matching_is_a_squared_error_of_the_velocity(path) -> None:
    """-1/2 w lambda' times an error of eps squared is that error's effect on v, squared."""
    z = torch.zeros_like(T)
    right, wrong = (ends(path, z, T, given="eps", value=eps) for eps in (T * 0, T * 0 + 1))
    error = prediction(path, right, T, wanted="v") - prediction(path, wrong, T, wanted="v")
    factor = -0.5 * flow_matching_weight(path, T) * path.log_snr_slope(T)
    torch.testing.assert_close(factor, error**2)


def test_the_angle_of_salimans_and_ho_is_a_squared_error_too() -> None:
    path = PATHS["ldm-linear"]
    z = noised(path, Ends(T.sin(), T.cos()), T)
    a, b = path.a(T), path.b(T)
    right, wrong = (ends(path, z, T, given="eps", value=T.cos() + shift) for shift in (0, 1))
    error = (a * right.eps - b * right.x0) - (a * wrong.eps - b * wrong.x0)
    torch.testing.assert_close(-0.5 * plain_angle_weight(path, T) * path.log_snr_slope(T), error**2)


@pytest.mark.parametrize("path", [EDM(), EDM(0.6, 1.2)])
def test_the_weight_of_edm_is_equation_16(path: EDM) -> None:
    log_snr = path.log_snr(T)
    normal = torch.distributions.Normal(-2 * path.mean, 2 * path.std)
    expected = normal.log_prob(log_snr).exp() * (torch.exp(-log_snr) + 0.25)
    torch.testing.assert_close(edm_weight(T, path), expected)


@pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES.keys())
def test_the_effective_weight_is_equation_18(density: Density) -> None:
    torch.testing.assert_close(effective_weight(density, T), density.pdf(T) * T / (1 - T))


def test_a_uniform_density_has_the_weight_of_the_rectified_flow() -> None:
    torch.testing.assert_close(effective_weight(Uniform(), T), LOSS_WEIGHTS["rectified"](T))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_effective_weight_of_a_logit_normal_vanishes_at_both_ends(dtype: torch.dtype) -> None:
    assert effective_weight(LogitNormal(), torch.tensor([0.0, 1.0], dtype=dtype)).tolist() == [0, 0]
