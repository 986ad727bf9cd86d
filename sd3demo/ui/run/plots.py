"""A plot on the page, with two buttons below it: its numbers as CSV and itself as PNG.

Both end in the browser's own download, so nothing is left lying on the server. charts.js adds the buttons and
answers to them: every component and every event of gradio's takes its time when the page opens, and there are
thirty plots. torch and plotly come in with the first chart that is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.components import Component
from gradio.components.plot import PlotData

from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.server.gradio_internals import current_page

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

WANTED = "(_, ...values) => [window.sd3demo.wanted(), ...values]"
SAVED = "(text) => window.sd3demo.saved(text)"


@dataclass(frozen=True)
class PlotPlace:
    """The place of one chart."""

    name: str
    plot: gr.Plot


def frame(name: str, value: PlotData | None = None) -> PlotPlace:
    """A place, empty unless a chart is given; whoever opens the tab fills it."""
    plot = gr.Plot(
        value, show_label=False, container=False, elem_id=f"plot-{name}", elem_classes="frame", buttons=[]
    )
    return PlotPlace(name, plot)


def savable(
    frames: Sequence[PlotPlace],
    chart: Callable[..., Chart],
    inputs: Sequence[Component],
    *,
    raw: bool = True,
) -> None:
    """Connects the CSV buttons; `chart` takes a frame's name and the values of the inputs."""
    numbers([place.name for place in frames], partial(_csv, chart), inputs, raw=raw)


def numbers(
    names: Sequence[str], csv: Callable[..., str], inputs: Sequence[Component], *, raw: bool = True
) -> None:
    """Saves a table when the page asks for it with `sd3demo.numbers(name)`.

    `csv` takes the name and the values of the inputs. All names share one hidden button, and the page has one
    text, which holds the name on the way there and is led by it on the way back.
    """
    text = _shared_text()
    button = gr.Button("CSV", visible="hidden", elem_classes=[f"numbers-{name}" for name in names])
    answer = partial(_written, csv, tuple(names))
    written = at_once([button.click], answer, [text, *inputs], [text], js=WANTED, raw=raw)
    written.success(None, [text], None, js=SAVED, api_visibility="private")


_TEXTS: WeakKeyDictionary[gr.Blocks, gr.Textbox] = WeakKeyDictionary()


def _shared_text() -> gr.Textbox:
    """The hidden text of the page that is being built; what is rendered later has one of its own."""
    page = current_page()
    if page is None:
        return gr.Textbox(visible="hidden")
    if page not in _TEXTS:
        _TEXTS[page] = gr.Textbox(visible="hidden")
    return _TEXTS[page]


def drawn(chart: Chart) -> PlotData:
    """A chart as a plot's value."""
    from sd3demo.plots.chart import figure_json

    return PlotData(type="plotly", plot=figure_json(chart))


def _csv(chart: Callable[..., Chart], name: str, *values: object) -> str:
    from sd3demo.plots.chart import csv

    return csv(chart(name, *values))


def _written(csv: Callable[..., str], names: Sequence[str], name: object, *values: object) -> str:
    """The name, which also becomes the file's, and the table below it."""
    if name not in names:
        raise gr.Error(
            f"{name!r} has no numbers here; choose one of {', '.join(names)}", print_exception=False
        )
    return f"{name}\n{csv(name, *values)}"
