"""Charts of tables: what they draw is what the table holds, and nothing else."""

import csv as tables
import io
import json
from base64 import b64decode

import numpy as np
import pytest

from sd3demo.plots.chart import Chart, csv, figure, page
from sd3demo.plots.studies import CHARTS
from sd3demo.plots.tables import axis, numbers, only
from sd3demo.studies.results import place, read
from sd3demo.studies.score_rows import COLUMNS, PART_COLUMNS
from sd3demo.studies.study import STUDIES, Column, Row, Scalar, Table, find_study


def marks(first: tuple[str, ...], *rows: tuple[Scalar, ...]) -> Table:
    columns = (*(Column(name) for name in first), *COLUMNS)
    return Table("t", columns, tuple(Row(row, {}) for row in rows), "")


T5 = marks(
    ("t5",),
    ("on", "colours", 0.9, 0.05, 0.95, 0.02, 10),
    ("on", "typography", 0.8, 0.1, 0.9, 0.03, 10),
    ("zeros", "colours", 0.85, 0.06, 0.9, 0.02, 10),
    ("zeros", "typography", 0.1, 0.09, 0.4, None, 1),
)


@pytest.mark.parametrize("study", STUDIES)
def test_every_chart_that_a_study_names_exists(study: str) -> None:
    named = find_study(study).charts
    assert set(named) <= set(CHARTS)
    assert len(set(named)) == len(named)


def test_bars_stand_at_the_place_of_their_category_with_their_errors() -> None:
    chart = CHARTS["t5-off"](T5)
    assert chart.x.names == ("colours", "typography")
    on, zeros = chart.curves
    np.testing.assert_array_equal(on.x, [0, 1])
    np.testing.assert_array_equal(zeros.y, [0.85, 0.1])
    np.testing.assert_array_equal(zeros.error, [0.06, 0.09])
    drawn = figure(chart)
    assert [bar.type for bar in drawn.data] == ["bar", "bar"]
    assert list(drawn.layout.xaxis.ticktext) == ["colours", "typography"]
    np.testing.assert_allclose(drawn.data[1].error_y.array, [0.06, 0.09], rtol=1e-6)


def test_the_parts_are_the_last_rows_and_letters_those_of_who_has_any() -> None:
    columns = (*COLUMNS, Column("ceiling"), *PART_COLUMNS)
    rows: tuple[tuple[Scalar, ...], ...] = (
        ("single", 0.9, 0.1, 0.9, 0.1, 10, 1.0, 1.0, None, 0.9, 0.8, None, None),
        ("typography", 0.5, 0.1, 0.9, 0.1, 10, 1.0, 1.0, 0.7, None, None, None, 0.4),
        ("typography-trained", 0.5, 0.1, 0.9, 0.1, 10, 1.0, 1.0, 0.7, None, None, None, 0.6),
        ("mean", 0.9, 0.1, 0.9, 0.1, 10, None, 1.0, 0.3, 0.85, 0.75, None, None),
    )
    chart = CHARTS["soft"](Table("score", columns, tuple(Row(row, {}) for row in rows), ""))
    assert chart.x.names == ("background", "colour", "count", "shape", "letters")
    np.testing.assert_array_equal(chart.curves[0].y, [1.0, 0.3, 0.85, 0.75, 0.4])


def test_an_unknown_error_is_no_error_bar() -> None:
    zeros = CHARTS["t5-off-soft"](T5).curves[1]
    assert np.isnan(zeros.error).tolist() == [False, True]


def test_the_csv_of_a_chart_names_its_categories_and_holds_the_errors() -> None:
    header, *rows = tables.reader(io.StringIO(csv(CHARTS["t5-off-soft"](T5))))
    assert header == ["curve", "category", "mean of the softer marks", "error"]
    assert rows[0] == ["T5 on", "colours", "0.95", "0.02"]
    assert rows[-1] == ["T5 zeros", "typography", "0.4", ""]


def test_the_mean_over_categories_is_the_strong_curve() -> None:
    rows = [(k, name, k / 50, 0.1, k / 50, 0.1, 4) for k in (5, 50) for name in ("single", "two", "mean")]
    chart = CHARTS["score-steps"](marks(("steps",), *rows))
    assert [(curve.name, curve.strong) for curve in chart.curves] == [
        ("single", False),
        ("two", False),
        ("mean", True),
    ]
    np.testing.assert_array_equal(chart.curves[-1].x, [5, 50])


def test_each_bar_of_the_score_stands_under_its_ceiling() -> None:
    columns = (*COLUMNS, Column("ceiling"), *PART_COLUMNS)
    blank = (None,) * len(PART_COLUMNS)
    rows = (("single", 0.5, 0.1, 0.6, 0.1, 9, 0.98, *blank), ("mean", 0.5, 0.1, 0.6, 0.1, 9, None, *blank))
    bars, ceiling = CHARTS["score"](Table("score", columns, tuple(Row(r, {}) for r in rows), "")).curves
    assert (bars.kind, ceiling.kind) == ("bars", "levels")
    assert ceiling.y[0] == 0.98
    assert np.isnan(ceiling.y[1])


def test_names_are_no_numbers() -> None:
    assert axis(T5, "t5").names == ("on", "zeros")
    assert np.isnan(numbers(["mean", None])).all()
    assert len(only(T5, t5="on", category="colours").rows) == 1


@pytest.mark.parametrize("caption", ["plain", "<script>alert(1)</script>"])
def test_a_page_of_charts_needs_nothing_beside_itself(caption: str) -> None:
    chart = CHARTS["t5-off"](T5)
    assert isinstance(chart, Chart)
    text = page([chart, CHARTS["t5-off-soft"](T5)], caption)
    assert "<script src=" not in text
    assert "Plotly.newPlot" in text
    assert "<script>alert(1)" not in text


def test_an_axis_of_depths_shows_whole_blocks_alone() -> None:
    columns = (Column("depth"), Column("loss"), Column("loss error"))
    table = Table("depth", columns, (Row((2, 0.3, 0.1), {}), Row((4, 0.1, 0.1), {})), "")
    drawn = figure(CHARTS["depth-loss"](table)).to_plotly_json()["layout"]["xaxis"]
    assert list(drawn["tickvals"]) == [2, 4]


RECORDED = [(study, chart) for study in STUDIES for chart in find_study(study).charts]


@pytest.mark.parametrize(("study", "name"), RECORDED, ids=lambda value: value)
def test_no_name_of_an_axis_has_to_be_read_with_the_head_turned(study: str, name: str) -> None:
    """Few names stand beside each other, more of them below each other; a chart of methods has seven."""
    table = read(json.loads(place(study).read_text(encoding="utf-8"))).table
    chart = CHARTS[name](table)
    layout = figure(chart).layout
    if not chart.x.names:
        return
    across, up = layout.xaxis, layout.yaxis
    assert not across.tickangle
    assert not up.tickangle
    assert len(across.ticktext or ()) <= 4
    if len(chart.x.names) > 4:
        assert list(up.ticktext) == list(chart.x.names)
        assert up.range[0] > up.range[1]  # the first one stands above
        assert {bar.orientation for bar in figure(chart).data if bar.type == "bar"} <= {"h"}
    if study.startswith("imax"):
        assert len(chart.x.names) <= 7


def test_bars_that_lie_keep_their_numbers_and_errors() -> None:
    names = [f"arm {k}" for k in range(6)]
    rows = tuple(Row((2, name, 0.1 * k, 0.01), {}) for k, name in enumerate(names))
    columns = tuple(Column(name) for name in ("scale", "arm", "drift", "drift error"))
    chart = CHARTS["imax-drift"](Table("imax-methods", columns, rows, ""))
    (bars,) = figure(chart).data
    across, down = (np.frombuffer(b64decode(each["bdata"]), "<f4") for each in (bars.x, bars.y))
    np.testing.assert_allclose(across, [0.1 * k for k in range(6)], atol=1e-6)
    np.testing.assert_allclose(down, range(6))
    np.testing.assert_allclose(bars.error_x.array, [0.01] * 6)


def test_a_chart_of_methods_has_a_line_for_what_none_can_pass() -> None:
    rows = tuple(
        Row((2, name, far, 0.01), {})
        for name, far in (("renders", 0.0), ("autoencoder", 0.4), ("direct", 2.0))
    )
    columns = tuple(Column(name) for name in ("scale", "arm", "paired patches", "paired patches error"))
    chart = CHARTS["imax-paired-patches"](Table("imax-methods", columns, rows, ""))
    bars, line = chart.curves
    assert chart.x.names == ("direct",)
    assert (line.name, line.kind, line.y.tolist()) == ("autoencoder, 2×", "dotted", [0.4, 0.4])
    assert bars.y.tolist() == [2.0]
