"""The oracle, against definitions that do not share its formulas: averages, gradients, transport."""

import math

import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.solvers import At


@pytest.fixture(params=["gaussian", "mixture"])
def data(request: pytest.FixtureRequest) -> Gaussian | Mixture:
    return request.getfixturevalue(request.param)


def points(data: Gaussian | Mixture, count: int = 8) -> Tensor:
    shape = (data if isinstance(data, Gaussian) else data.components[0]).mean.shape
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(6), dtype=torch.float64)


@pytest.mark.parametrize("t", [0.15, 0.5, 0.9])
def test_the_means_are_those_of_weighted_samples(t: float, data: Gaussian | Mixture) -> None:
    """E[x0 | z] by drawing the data and weighing each by how likely it is to be noised into z."""
    x0 = data.sample(400_000, torch.Generator().manual_seed(7))
    for z in points(data, 3):
        z = z * 0.5
        eps = (z - (1 - t) * x0) / t
        weights = (-0.5 * eps.square().sum(1)).softmax(0)
        posterior = data.posterior(z[None], t)
        spread = 6 * float((weights**2).sum().sqrt())  # deviations of a weighted mean, times the data's width
        torch.testing.assert_close(posterior.x0[0], weights @ x0, atol=spread, rtol=0)
        torch.testing.assert_close(posterior.eps[0], weights @ eps, atol=spread / t, rtol=0)


@pytest.mark.parametrize("t", [0.01, 0.4, 1.0])
def test_the_noise_is_minus_t_times_the_score(t: float, data: Gaussian | Mixture) -> None:
    """E[eps | z] = -t grad log p_t(z), Tweedie's formula: it ties posterior and density together."""
    z = points(data).requires_grad_()
    (score,) = torch.autograd.grad(data.log_density(z, t).sum(), z)
    torch.testing.assert_close(data.posterior(z.detach(), t).eps, -t * score)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_the_two_means_make_up_the_point(t: float, data: Gaussian | Mixture) -> None:
    z = points(data)
    x0, eps = data.posterior(z, t)
    torch.testing.assert_close((1 - t) * x0 + t * eps, z)
    torch.testing.assert_close(data.velocity(z, At(t, 0, 1)), eps - x0)


def test_probability_is_neither_made_nor_lost(data: Gaussian | Mixture) -> None:
    """The continuity equation: d log p / dt = -div v - v . grad log p."""
    t, h = 0.4, 1e-5
    for z in points(data):
        change = (data.log_density(z[None], t + h) - data.log_density(z[None], t - h)) / (2 * h)
        jacobian = torch.func.jacrev(lambda z: data.velocity(z[None], At(t, 0, 1))[0])(z)
        score = torch.func.grad(lambda z: data.log_density(z[None], t)[0])(z)
        flowing = -jacobian.trace() - data.velocity(z[None], At(t, 0, 1))[0] @ score
        torch.testing.assert_close(change[0], flowing, rtol=1e-6, atol=1e-8)


def test_at_the_start_there_is_standard_noise(data: Gaussian | Mixture) -> None:
    z = points(data)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(data.log_density(z, 1.0), normal)
    torch.testing.assert_close(data.posterior(z, 1.0).eps, z)


def test_at_the_end_the_data_is_known(data: Gaussian | Mixture) -> None:
    z = points(data)
    torch.testing.assert_close(data.posterior(z, 0.0).x0, z)


def test_the_density_of_the_data_is_that_of_its_samples(gaussian: Gaussian, mixture: Mixture) -> None:
    for data in (gaussian, mixture):
        x = data.sample(100_000, torch.Generator().manual_seed(8))
        half = data.sample(100_000, torch.Generator().manual_seed(8))
        assert torch.equal(x, half)
        # The share of samples near a point, over the volume, is the density there.
        centre = (data if isinstance(data, Gaussian) else data.components[0]).mean
        radius = 0.1
        near = float(((x - centre).abs() < radius).all(1).double().mean()) / (2 * radius) ** x.shape[1]
        assert near == pytest.approx(math.exp(float(data.log_density(centre[None], 0.0))), rel=0.1)


def test_transport_is_a_solution_of_the_flow(gaussian: Gaussian) -> None:
    z, t, h = points(gaussian), 0.7, 1e-6
    moved = (gaussian.transport(z, t, t + h) - gaussian.transport(z, t, t - h)) / (2 * h)
    torch.testing.assert_close(moved, gaussian.velocity(z, At(t, 0, 1)), rtol=1e-7, atol=1e-7)
    there = gaussian.transport(z, 1.0, 0.2)
    torch.testing.assert_close(gaussian.transport(there, 0.2, 1.0), z)
    torch.testing.assert_close(gaussian.transport(gaussian.transport(z, 1.0, 0.6), 0.6, 0.2), there)


def test_a_mixture_of_equal_components_is_one_of_them(gaussian: Gaussian) -> None:
    both, z = Mixture((0.3, 0.7), (gaussian, gaussian)), points(gaussian)
    torch.testing.assert_close(both.posterior(z, 0.4), gaussian.posterior(z, 0.4))
    torch.testing.assert_close(both.log_density(z, 0.4), gaussian.log_density(z, 0.4))


def test_a_time_for_each_sample_is_the_same_as_one_by_one(data: Gaussian | Mixture) -> None:
    z, t = points(data, 4), torch.tensor([0.1, 0.4, 0.8, 1.0], dtype=torch.float64)
    together = data.posterior(z, t)
    for i in range(4):
        alone = data.posterior(z[i : i + 1], float(t[i]))
        torch.testing.assert_close(together.x0[i : i + 1], alone.x0)
        torch.testing.assert_close(
            data.log_density(z, t)[i : i + 1], data.log_density(z[i : i + 1], float(t[i]))
        )


def test_pictures_are_data_too() -> None:
    modes = Mixture((0.5, 0.5), tuple(Gaussian(torch.full((4, 8, 8), level), 0.1) for level in (-1.0, 1.0)))
    z = torch.full((3, 4, 8, 8), 0.05)
    v = modes.velocity(z, At(0.5, 0, 1))
    assert (v.shape, v.dtype) == (z.shape, torch.float32)
    assert modes.sample(5).shape == (5, 4, 8, 8)
    # 256 entries that lean a little towards one mode leave no doubt which it is.
    torch.testing.assert_close(modes.posterior(z, 0.5).x0, modes.components[1].posterior(z, 0.5).x0)


def test_a_single_point_of_data_has_a_straight_flow() -> None:
    point = Gaussian(torch.tensor([1.0, 2.0]), 0.0)
    z = torch.tensor([[0.3, -0.2]])
    torch.testing.assert_close(point.velocity(z, At(0.25, 0, 1)), (z - point.mean) / 0.25)
    torch.testing.assert_close(point.sample(3), point.mean.expand(3, 2))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Gaussian(torch.zeros(2), -1.0), "std is -1.0; a standard deviation must be 0 or more"),
        (lambda: Mixture((1.0,), ()), "1 weights for 0 components; give one for each"),
        (lambda: Mixture((0.5, 0.6), (Gaussian(torch.zeros(1), 1.0),) * 2), "must be positive and sum to 1"),
        (lambda: Mixture((-1.0, 2.0), (Gaussian(torch.zeros(1), 1.0),) * 2), "must be positive"),
    ],
)
def test_data_that_cannot_be_says_why(make, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
