"""A plot on the page, with two buttons below it: its numbers as CSV and itself as PNG.

Both end in the browser's own download, so nothing is left lying on the server. torch and plotly come in with
the first chart that is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component
from gradio.components.plot import PlotData

from sd3demo.ui.quick import at_once

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

SAVE_CSV = """(text, name) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/csv'}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""
SAVE_PNG = """() => {
  const plot = document.querySelector('#plot-NAME .js-plotly-plot');
  const width = plot?.layout.yaxis.scaleanchor ? 560 : 900;
  if (plot) Plotly.downloadImage(
    plot, {format: 'png', filename: 'sd3demo-NAME', width, height: 520, scale: 2});
}"""


@dataclass(frozen=True)
class Frame:
    """The place of one chart."""

    name: str
    plot: gr.Plot
    csv: gr.Button


def frame(name: str, value: PlotData | None = None) -> Frame:
    """A place, empty unless a chart is given; whoever opens the tab fills it."""
    with gr.Column(elem_classes="frame", min_width=260):
        plot = gr.Plot(value, show_label=False, container=False, elem_id=f"plot-{name}", buttons=[])
        with gr.Row(elem_classes="save"):
            csv = gr.Button("CSV", size="sm", elem_id=f"csv-{name}", min_width=50)
            png = gr.Button("PNG", size="sm", elem_id=f"png-{name}", min_width=50)
    at_once([png.click], None, [], [], js=SAVE_PNG.replace("NAME", name))
    return Frame(name, plot, csv)


def savable(
    frames: Sequence[Frame],
    chart: Callable[..., Chart],
    inputs: Sequence[Component],
    *,
    raw: bool = True,
) -> None:
    """Connects the CSV buttons; `chart` takes a frame's name and the values of the inputs."""
    text, file = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
    for place in frames:
        written = at_once(
            [place.csv.click], partial(_written, chart, place.name), inputs, [text, file], raw=raw
        )
        written.success(None, [text, file], None, js=SAVE_CSV, api_visibility="private")


def drawn(chart: Chart) -> PlotData:
    """A chart as a plot's value."""
    from sd3demo.plots.chart import figure_json

    return PlotData(type="plotly", plot=figure_json(chart))


def _written(chart: Callable[..., Chart], name: str, *values: object) -> tuple[str, str]:
    from sd3demo.plots.chart import csv

    return csv(chart(name, *values)), f"sd3demo-{name}.csv"
