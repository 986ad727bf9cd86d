"""The samplers on the page: every change answers with both charts, and each has its numbers."""

import pytest
from gradio.components.plot import PlotData

from sd3demo.errors import Refusal
from sd3demo.ui.flow_lab import sampler_paths
from sd3demo.ui.flow_lab.sampler_paths import NAMES, PLOTS, SamplerSettings

START = [SamplerSettings.model_fields[name].default for name in NAMES]


@pytest.mark.parametrize("changed", [{}, {"sde_data": "normal"}, {"sde_eta": 0}, {"plane_w": 8}])
def test_a_change_answers_with_its_chart(changed: dict[str, object]) -> None:
    data, eta, scale = (changed.get(name, value) for name, value in zip(NAMES, START, strict=True))
    assert isinstance(sampler_paths.samplers(data, eta), PlotData)
    assert isinstance(sampler_paths.guidance(scale), PlotData)


@pytest.mark.parametrize("name", PLOTS)
def test_every_chart_has_its_numbers(name: str) -> None:
    assert sampler_paths.chart(name, *START).name == name


def test_a_value_out_of_its_bounds_is_a_sentence() -> None:
    with pytest.raises(Refusal, match="sde_eta"):
        sampler_paths.chart("samplers", "clusters", 9, 1)
