"""The four paths as charts: each from the noise to the data, errors that fall."""

import numpy as np
import pytest

from sd3demo.flow.paths import PATHS
from sd3demo.plots import plane_paths
from sd3demo.plots.chart import csv, figure
from sd3demo.training.toy_data import CLUSTERS


@pytest.mark.parametrize("name", PATHS)
def test_every_path_is_drawn_and_ends_in_the_data(name: str) -> None:
    chart = plane_paths.one_pair()
    title = plane_paths.TITLES[name][0]
    curves = {curve.name: curve for curve in chart.curves}
    line, steps = curves[title], curves[f"{title}, Euler"]
    assert (line.x[-1], line.y[-1]) == pytest.approx(plane_paths.DATA_END)
    away = np.hypot(steps.x[-1] - plane_paths.DATA_END[0], steps.y[-1] - plane_paths.DATA_END[1])
    assert (away < 1e-9) == (name in ("rectified", "edm"))
    assert figure(chart).data
    assert title in csv(chart)


def test_more_steps_cost_less_on_every_path() -> None:
    chart = plane_paths.euler_error(CLUSTERS)
    assert len(chart.curves) == len(PATHS)
    for curve in chart.curves:
        assert (np.diff(curve.y) < 0).all()
    assert plane_paths.euler_error(CLUSTERS) is chart  # it takes a second
    assert max(len(chart.title), len(chart.source)) <= 52
