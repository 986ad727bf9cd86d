"""The exact field's chart: the density, the arrows and the lines are those of the closed form."""

import json

import numpy as np
import pytest
import torch

from sd3demo.flow.solvers import At
from sd3demo.plots import exact_field
from sd3demo.plots.chart import csv, figure, figure_json
from sd3demo.training.toy_data import EXACT

Z = (0.5, 0.2)
data = pytest.mark.parametrize("name", EXACT)


@data
@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_the_density_is_one_over_the_plane_and_the_arrows_are_the_velocity(name: str, t: float) -> None:
    found = exact_field.grids(EXACT[name], t)
    cell = (found.places[1] - found.places[0]) ** 2
    assert found.density.sum() * cell == pytest.approx(1, abs=0.06)
    expected = EXACT[name].velocity(torch.from_numpy(found.starts), At(t, 0, 1)).numpy()
    np.testing.assert_allclose(found.velocity, expected)


@data
def test_the_field_is_drawn_with_lines_their_mean_and_contours(name: str) -> None:
    chart = exact_field.field(EXACT[name], Z, 0.6)
    names = [curve.name for curve in chart.curves]
    assert names[0] == "v"
    assert names[-2:] == ["their mean", "z"]
    shares = [float(name.removeprefix("lines, ").removesuffix("%")) for name in names[1:-2]]
    assert sum(shares) == pytest.approx(100, abs=8)
    mean, z = chart.curves[-2:]
    x, y = (np.interp(0.6, [0, 1], along) for along in (mean.x, mean.y))
    assert (x, y) == pytest.approx(Z)
    assert (z.x[0], z.y[0]) == Z
    figure(chart)  # plotly validates it
    drawn = json.loads(figure_json(chart))
    assert drawn["data"][0]["type"] == "contour"
    assert "their mean" in csv(chart)


def test_a_time_slider_moves_the_contours() -> None:
    before, after = (exact_field.field(EXACT["clusters"], Z, t) for t in (0.2, 0.8))
    assert before.contours is not None
    assert after.contours is not None
    assert not np.allclose(before.contours.values, after.contours.values)


def test_the_parts_of_the_loss_are_drawn_where_they_are_known() -> None:
    levels = np.array([0.5, 1.0])
    assert [c.name for c in exact_field.loss_parts(levels, levels).curves] == ["cannot be learned"]
    both = exact_field.loss_parts(levels, levels, levels / 2).curves
    assert [c.name for c in both] == ["cannot be learned", "left to learn"]
