"""Every chart of the project: plotly accepts it, it says what it shows, and it can be taken home."""

import csv as tables
import io
import json

import numpy as np
import pytest

from sd3demo.flow.densities import DENSITIES
from sd3demo.flow.grids import CONVENTIONS, time_grid
from sd3demo.plots import densities, schedules, trajectories
from sd3demo.plots import loss_weights as weights
from sd3demo.plots.chart import COLOURS, Chart, Curve, csv, figure, figure_json
from tests.history.fake_trace import a_trace

SHADES = dict(zip(DENSITIES, COLOURS, strict=False))
GRIDS = {name: time_grid(28, 3, name).tolist() for name in CONVENTIONS}
CHARTS = [
    densities.pdfs(DENSITIES, SHADES),
    densities.cdfs(DENSITIES, SHADES),
    densities.shifted_pdfs(DENSITIES, 3.0, SHADES),
    densities.log_snr_pdfs(DENSITIES, 3.0, SHADES),
    densities.masses(DENSITIES, GRIDS["uniform"], SHADES, note="uniform"),
    weights.weights(DENSITIES, SHADES),
    weights.amplitudes(),
    weights.log_snrs(),
    schedules.schedules(GRIDS, "diffusers", 3.0),
    schedules.tails(GRIDS, "diffusers", 3.0),
    *trajectories.charts(a_trace(), a_trace(seed=1)).values(),
]
every_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)


def test_no_two_charts_have_one_name() -> None:
    assert len({chart.name for chart in CHARTS}) == len(CHARTS)


@every_chart
def test_plotly_accepts_what_the_browser_is_sent(chart: Chart) -> None:
    checked, sent = json.loads(figure(chart).to_json()), json.loads(figure_json(chart))
    assert checked["data"] == sent["data"]
    checked["layout"].pop("template")
    assert checked["layout"] == sent["layout"]


@every_chart
def test_a_chart_says_what_it_shows_and_where_it_stands_in_the_paper(chart: Chart) -> None:
    drawn = figure(chart).layout
    assert chart.title in drawn.title.text
    assert drawn.title.subtitle.text == chart.source
    assert chart.source
    assert drawn.xaxis.title.text
    (upright,) = drawn.annotations
    assert upright.text == chart.y.title
    assert not drawn.yaxis.title.text  # a title along a low chart's side meets the heading
    assert len(chart.title) <= 40  # what a phone of 360 px shows, in bold
    assert len(chart.source) <= 52


@every_chart
def test_the_table_holds_what_is_drawn(chart: Chart) -> None:
    header, *rows = tables.reader(io.StringIO(csv(chart)))
    assert header == ["curve", chart.x.title, chart.y.title]
    assert len(rows) == sum(len(curve.x) for curve in chart.curves)
    for curve in chart.curves:
        mine = [row for row in rows if row[0] == curve.name]
        y = [float(row[2]) if row[2] else np.nan for row in mine]
        np.testing.assert_allclose([float(row[1]) for row in mine], curve.x, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(y, np.where(np.isfinite(curve.y), curve.y, np.nan), rtol=1e-6)


@pytest.mark.parametrize("ground", ["#ffffff", "#131211"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_curve_stands_out_in_light_and_in_dark(colour: str, ground: str) -> None:
    """WCAG 2.2, 1.4.11: a graphical object has a contrast of 3 to 1."""
    light, dark = sorted((luminance(COLOURS[colour]), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_what_is_infinite_is_a_gap() -> None:
    curve = Curve("one", np.array([0.0, 1.0]), np.array([np.inf, 2.0]), "green")
    chart = Chart("c", "c", "eq. 1", CHARTS[0].x, CHARTS[0].y, (curve,))
    assert "one,0,\n" in csv(chart)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
