"""Two flows with known answers, and the noise they start from, in float64."""

import pytest
import torch

from sd3demo.flow.exact import Gaussian, Mixture


@pytest.fixture(scope="session")
def gaussian() -> Gaussian:
    """Of another width in each direction, so that its flow is curved."""
    return Gaussian(
        torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64),
        torch.tensor([0.2, 0.7, 1.5], dtype=torch.float64),
    )


@pytest.fixture(scope="session")
def mixture() -> Mixture:
    """Two components: on one, a midpoint rule looks third-order."""
    first = Gaussian(torch.tensor([1.0, -0.5], dtype=torch.float64), 0.3)
    second = Gaussian(torch.tensor([-1.0, 0.7], dtype=torch.float64), 0.5)
    return Mixture((0.4, 0.6), (first, second))


@pytest.fixture(scope="session")
def noise() -> torch.Tensor:
    return torch.randn((64, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
