"""The loss in two parts: they add up, and the four clusters' are hardest above the middle."""

import pytest
import torch
from torch import Tensor

from sd3demo.flow.solvers import At
from sd3demo.training.loss_split import split_loss
from sd3demo.training.toy_data import CLUSTERS, EXACT

LEVELS = (0.02, 0.125, 0.25, 0.5, 0.75, 1.0)


def test_of_four_clusters_what_cannot_be_learned_is_largest_at_three_quarters() -> None:
    split = split_loss(CLUSTERS.velocity, CLUSTERS, LEVELS)
    assert split.irreducible == pytest.approx((2.0, 1.1, 0.4, 3.7, 5.8, 4.0), abs=0.1)
    assert split.excess == pytest.approx((0.0,) * len(LEVELS), abs=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_both_parts_make_up_the_loss(name: str) -> None:
    data, generator = EXACT[name], torch.Generator().manual_seed(5)

    def wrong(x: Tensor, at: At) -> Tensor:
        return data.velocity(x, at) + 0.3 * x

    split = split_loss(wrong, data, LEVELS)
    for t, irreducible, excess in zip(LEVELS, split.irreducible, split.excess, strict=True):
        x0 = data.sample(200_000, generator)
        eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
        z = (1 - t) * x0 + t * eps
        loss = float((wrong(z, At(t, 0, 1)) - (eps - x0)).square().sum(1).mean())
        assert irreducible + excess == pytest.approx(loss, rel=0.06)
        assert excess > 0
