"""A chart of which nothing is known is not drawn, and those that show something stand first."""

import numpy as np

from sd3demo.plots.chart import Axis, Chart, Curve, has_values
from sd3demo.studies.results import recorded
from sd3demo.studies.study import find_study
from sd3demo.ui.studies.handlers import charts


def test_reference_lines_alone_are_no_values() -> None:
    nothing, known = np.full(2, np.nan), np.array([1.0, np.nan])
    line = Curve("even", np.arange(2.0), np.full(2, 0.5), "grey", "dotted")

    def chart(y: np.ndarray) -> Chart:
        return Chart("a", "A", "b", Axis("x"), Axis("y"), (Curve("c", np.arange(2.0), y, "green"), line))

    assert not has_values(chart(nothing))
    assert has_values(chart(known))


def test_a_study_of_pictures_that_the_model_made_has_no_paired_charts() -> None:
    study, found = find_study("imax-ablation"), recorded("imax-ablation")
    assert found is not None
    drawn = dict(zip(study.charts, charts(study, found.table), strict=True))
    empty = [name for name, plot in drawn.items() if plot is None]
    assert empty == [name for name in study.charts if "paired" in name]
