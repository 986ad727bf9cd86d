"""Lines through a point: they pass through it, and their weighted mean and variance are the exact ones."""

import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.posterior_lines import posterior_lines
from sd3demo.flow.solvers import At

TIMES = (0.0, 0.02, 0.3, 0.7, 1.0)
WIDE = Gaussian(torch.tensor([1.0, -0.5], dtype=torch.float64), torch.tensor([1.2, 0.3], dtype=torch.float64))


@pytest.fixture(params=["mixture", "wide"])
def data(request: pytest.FixtureRequest, mixture: Mixture) -> Mixture | Gaussian:
    return mixture if request.param == "mixture" else WIDE


def z() -> Tensor:
    return torch.tensor([0.3, -0.4], dtype=torch.float64)


@pytest.mark.parametrize("t", TIMES)
def test_every_line_is_at_the_point_at_that_time(data: Mixture | Gaussian, t: float) -> None:
    lines = posterior_lines(data, z(), t)
    torch.testing.assert_close((1 - t) * lines.x0 + t * lines.eps, z().expand_as(lines.x0))


@pytest.mark.parametrize("t", TIMES)
def test_their_weighted_mean_is_the_velocity_and_their_variance_the_loss(
    data: Mixture | Gaussian, t: float
) -> None:
    lines = posterior_lines(data, z(), t)
    slopes = lines.eps - lines.x0
    weights = lines.shares[:, None, None] / slopes.shape[1]
    mean = (weights * slopes).sum((0, 1))
    torch.testing.assert_close(mean, data.velocity(z()[None], At(t, 0, 1))[0])
    torch.testing.assert_close(lines.velocity, mean)
    variance = (weights * (slopes - mean).square()).sum()
    assert float(variance) == pytest.approx(lines.variance)
    assert lines.variance == pytest.approx(float(data.target_variance(z()[None], t)))
    assert float(lines.shares.sum()) == pytest.approx(1)


@pytest.mark.parametrize("t", [0.15, 0.5, 0.9])
def test_the_variance_is_that_of_weighted_samples(data: Mixture | Gaussian, t: float) -> None:
    """Var(eps - x0 | z) by drawing the data and weighing each by how likely it is to be noised into z."""
    x0 = data.sample(400_000, torch.Generator().manual_seed(7))
    eps = (z() - (1 - t) * x0) / t
    weights = (-0.5 * eps.square().sum(1)).softmax(0)
    target = eps - x0
    mean = weights @ target
    variance = float(weights @ (target - mean).square().sum(1))
    assert float(data.target_variance(z()[None], t)) == pytest.approx(variance, rel=0.03)


def test_at_the_noise_the_variance_is_that_of_the_data(mixture: Mixture) -> None:
    x0 = mixture.sample(400_000, torch.Generator().manual_seed(1))
    assert float(mixture.target_variance(z()[None], 1.0)) == pytest.approx(float(x0.var(0).sum()), rel=0.01)


@pytest.mark.parametrize(
    ("point", "t", "sentence"),
    [
        (torch.zeros(3), 0.5, "give one point of the plane"),
        (torch.zeros(2), 1.5, r"t is 1.5; it must lie in"),
    ],
)
def test_what_is_no_point_or_no_time_is_refused(point: Tensor, t: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        posterior_lines(WIDE, point, t)
