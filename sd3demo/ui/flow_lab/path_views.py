"""Four forward paths in the plane, drawn once: they have no settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.plots import drawn, frame, savable

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

TEXT = text_file("plane")
PLOTS = ("pair-paths", "euler-error")


def build() -> None:
    """The section of the tab."""
    with gr.Row(elem_id="forward-paths", elem_classes="lesson"):
        section(TEXT, "Paths", elem_classes="knobs")
        with gr.Row(elem_classes="views"):
            frames = [frame(name, drawn(chart(name))) for name in PLOTS]
    savable(frames, chart, [])


def chart(name: str) -> Chart:
    """A chart by its name."""
    from sd3demo.plots import plane_paths
    from sd3demo.training.toy_data import CLUSTERS

    return plane_paths.one_pair() if name == PLOTS[0] else plane_paths.euler_error(CLUSTERS)
