"""The plot of the schedules shows the times as they are, and marks those in use."""

import numpy as np
import pytest

from sd3demo.flow.grids import CONVENTIONS, time_grid
from sd3demo.plots.schedules import schedules, tails

GRIDS = {name: time_grid(28, 3, name).tolist() for name in CONVENTIONS}


@pytest.mark.parametrize("in_use", CONVENTIONS)
def test_every_convention_is_drawn_and_the_one_in_use_is_marked(in_use: str) -> None:
    chart = schedules(GRIDS, in_use, 3.0)
    assert {curve.name.removesuffix(" (in use)") for curve in chart.curves} == set(CONVENTIONS)
    (used,) = [curve for curve in chart.curves if curve.strong]
    assert used.name == f"{in_use} (in use)"
    assert used.y.tolist() == GRIDS[in_use]


def test_the_tail_shows_the_last_times_and_leaves_out_zero() -> None:
    chart = tails(GRIDS, "diffusers", 3.0)
    assert chart.y.log
    assert chart.x.shown == (17.8, 28.2)
    for curve in chart.curves:
        assert np.isnan(curve.y[-1])
        assert np.all(curve.y[:-1] > 0)


def test_one_step_is_drawn_too() -> None:
    assert schedules({"linear": [1.0, 0.0]}, "linear", 1.0).title.startswith("1 step at")
