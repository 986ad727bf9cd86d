"""The four paths on the page have their charts and numbers."""

import pytest

from sd3demo.ui.flow_lab import path_views


@pytest.mark.parametrize("name", path_views.PLOTS)
def test_every_plot_has_its_chart(name: str) -> None:
    assert path_views.chart(name).name == name
