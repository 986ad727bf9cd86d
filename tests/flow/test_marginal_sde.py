"""The SDE's marginals are the ODE's: by the Fokker-Planck equation point by point, and by samples."""

import pytest
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.marginal_sde import drift, sde_path

DOUBLE = torch.float64
CLUSTERS = Mixture(
    (0.2, 0.3, 0.5),
    (
        Gaussian(torch.tensor([-1.4, 0.5], dtype=DOUBLE), 0.2),
        Gaussian(torch.tensor([0.3, -1.1], dtype=DOUBLE), 0.4),
        Gaussian(torch.tensor([1.2, 0.8], dtype=DOUBLE), torch.tensor([0.3, 0.6], dtype=DOUBLE)),
    ),
)
FALLING = [1 - k / 200 for k in range(201)]


def density(z: Tensor, t: Tensor | float) -> Tensor:
    return CLUSTERS.log_density(z, t).exp()


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("t", [0.15, 0.5, 0.85])
def test_the_marginals_of_the_exact_mixture_solve_the_fokker_planck_equation(eta: float, t: float) -> None:
    """-dp/dt = div(p (v + eta e)) + eta t laplace(p): the law of the SDE as t falls."""
    z = torch.randn((7, 2), generator=torch.Generator().manual_seed(3), dtype=DOUBLE).requires_grad_()
    time = torch.full((7,), t, dtype=DOUBLE, requires_grad=True)
    (falls,) = torch.autograd.grad(density(z, time).sum(), time)
    flux = density(z, t)[:, None] * drift(CLUSTERS.posterior(z, t), eta)
    (slope,) = torch.autograd.grad(density(z, t).sum(), z, create_graph=True)
    divergence, laplacian = torch.zeros(7, dtype=DOUBLE), torch.zeros(7, dtype=DOUBLE)
    for k in range(2):
        divergence += torch.autograd.grad(flux[:, k].sum(), z, retain_graph=True)[0][:, k]
        laplacian += torch.autograd.grad(slope[:, k].sum(), z, retain_graph=True)[0][:, k]
    torch.testing.assert_close(-falls, divergence + eta * t * laplacian, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eta", [0.5, 2.0])
def test_samples_of_both_have_the_moments_of_the_data(eta: float) -> None:
    noise = torch.randn((4000, 2), generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    ode = sde_path(CLUSTERS, noise, FALLING, 0.0)
    sde = sde_path(CLUSTERS, noise, FALLING, eta, torch.Generator().manual_seed(2))
    for k in (60, 140, 200):
        for states in (ode[k], sde[k]):
            mean, square = moments(FALLING[k])
            torch.testing.assert_close(states.mean(0), mean, rtol=0, atol=0.08)
            torch.testing.assert_close(states.square().mean(0), square, rtol=0.08, atol=0.08)
    assert float((ode[-1] - sde[-1]).norm(dim=1).mean()) > 0.5  # other points of the same distribution


def moments(t: float) -> tuple[Tensor, Tensor]:
    """E[z_t] and E[z_t^2], entry by entry."""
    pairs = [
        (w, one.mean, torch.as_tensor(one.std) ** 2)
        for w, one in zip(CLUSTERS.weights, CLUSTERS.components, strict=True)
    ]
    mean = sum(w * mean for w, mean, _ in pairs)
    square = sum(w * (mean**2 + variance) for w, mean, variance in pairs)
    return (1 - t) * torch.as_tensor(mean), (1 - t) ** 2 * torch.as_tensor(square) + t**2


def test_without_noise_it_is_euler_on_the_ode() -> None:
    noise = torch.randn((5, 2), generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    first = sde_path(CLUSTERS, noise, [1.0, 0.75], 0.0)[1]
    ends = CLUSTERS.posterior(noise, 1.0)
    torch.testing.assert_close(first, noise - 0.25 * (ends.eps - ends.x0))


@pytest.mark.parametrize(
    ("times", "eta"), [([1.0, 0.5], -1.0), ([0.5, 1.0], 1.0), ([1.2, 0.5], 1.0), ([0.5, -0.1], 1.0)]
)
def test_what_is_no_path_is_refused(times: list[float], eta: float) -> None:
    with pytest.raises(ValueError, match="must"):
        sde_path(CLUSTERS, torch.zeros((1, 2), dtype=DOUBLE), times, eta)
