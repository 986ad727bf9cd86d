"""Samplers in the plane: both end in the data, and guidance leaves the cluster only for w other than 1."""

import numpy as np
import pytest
import torch

from sd3demo.plots import plane_samplers
from sd3demo.plots.chart import csv, figure
from sd3demo.plots.plane_samplers import CLOUD, FOLLOWED, STEPS, guided_states
from sd3demo.training.toy_data import CLUSTERS, EXACT


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("eta", [0.0, 1.0, 4.0])
def test_both_samplers_are_drawn_from_the_same_noise(name: str, eta: float) -> None:
    chart = plane_samplers.beside_the_ode(EXACT[name], eta)
    sde, ode, ends, _ = chart.curves
    assert len(ode.x) == FOLLOWED * (STEPS + 2)
    assert sde.x[0] == ode.x[0]
    assert len(ends.x) == CLOUD
    same = bool(np.allclose(sde.x, ode.x, equal_nan=True))
    assert same == (eta == 0)
    assert figure(chart).data
    assert "SDE" in csv(chart)


def test_without_guidance_the_cluster_is_drawn_and_with_more_it_is_left() -> None:
    centre = CLUSTERS.components[3].mean.double()
    plain, led = (guided_states(CLUSTERS, 3, scale)[-1] for scale in (1.0, 4.0))
    torch.testing.assert_close(plain.mean(0), centre, rtol=0, atol=0.05)
    torch.testing.assert_close(plain.std(0), torch.full((2,), 0.12, dtype=torch.float64), rtol=0.25, atol=0)
    assert float((led.mean(0) - centre).min()) > 3 * float((plain.mean(0) - centre).abs().max())


def test_no_weight_on_the_condition_is_the_mixture() -> None:
    ends = guided_states(CLUSTERS, 3, 0.0)[-1]
    assert len({tuple(corner) for corner in ends.sign().int().tolist()}) == 4
    assert len(plane_samplers.guidance(CLUSTERS, 3, 2.0).curves) == 4
