"""The exact field on the page: a click moves the point, and every change answers with both charts."""

import re

import pytest
from gradio.components.plot import PlotData

from sd3demo.errors import Refusal
from sd3demo.ui.flow_lab import field
from sd3demo.ui.flow_lab.field import NAMES, PLOTS, FieldSettings

START = [FieldSettings.model_fields[name].default for name in NAMES]


@pytest.mark.parametrize("changed", [{}, {"field_data": "normal"}, {"field_t": 0.0}, {"field_t": 1.0}])
def test_a_change_answers_with_the_figures_and_both_charts(changed: dict[str, object]) -> None:
    values = [changed.get(name, value) for name, value in zip(NAMES, START, strict=True)]
    said, plot = field.figures_and_field(*values)
    assert re.findall(r"<dt>(\w+)</dt>", said) == ["v", "Variance", "Likeliest"]
    assert isinstance(plot, PlotData)
    assert isinstance(field.parts(values[0]), PlotData)


def test_a_click_is_the_point_and_nothing_else_is() -> None:
    assert field.point_of("0.5,-1.25") == [0.5, -1.25]
    for text in ("", "1", "a,b", "1,2,3", "9,0", "nan,0"):
        with pytest.raises(Refusal):
            field.point_of(text)


@pytest.mark.parametrize("name", PLOTS)
def test_every_chart_has_its_numbers(name: str) -> None:
    assert field.chart(name, *START).name == name


def test_at_the_noise_all_clusters_are_as_likely() -> None:
    values = dict(zip(NAMES, START, strict=True)) | {"field_t": 1.0}
    assert "25%" in field.said_of(FieldSettings.model_validate(values))
