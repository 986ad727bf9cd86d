"""What is known of the method on the embedded model: the shipped ablation, and the same to be run here."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context

from sd3demo.catalogue import assets
from sd3demo.studies.study import Column, Row, Table
from sd3demo.ui.charts import drawn, frame, savable
from sd3demo.ui.core import Core
from sd3demo.ui.prose import section
from sd3demo.ui.quick import at_once
from sd3demo.ui.study import studies
from sd3demo.ui.tabled import listing

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart

STUDIES: Mapping[str, str] = {
    "imax-ablation": "Ablation",
    "imax-methods": "Methods",
    "imax-scale": "Scale",
    "imax-steps": "Steps",
}
SHIPPED = "imax-ablation"
PLOTS = ("imax-patches", "imax-drift")


def measured(core: Core, text: Path) -> None:
    """The section of the tab: what the figures mean, the shipped table, and the studies to be run here."""
    tab = Context.block
    with gr.Column(elem_id="large-measured", elem_classes="knobs"):
        section(text, "Measured")
    found = shipped(assets() / "studies" / f"{SHIPPED}.json")
    if found is not None and isinstance(tab, gr.Tab):  # plotly comes in here: not before somebody looks
        table = gr.HTML(elem_id="large-table")
        with gr.Row(elem_classes="views"):
            frames = [frame(f"shipped-{name}") for name in PLOTS]
        at_once([tab.select], partial(laid_out, found), [], [table, *(place.plot for place in frames)])
        savable(frames, partial(chart, found), [])
    studies(core, STUDIES)


def shipped(file: Path) -> Table | None:
    """The table that `sd3demo study NAME --json` printed into a file; None where there is no such file."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read(values["study"], values["table"])


def read(study: str, values: Mapping[str, Any]) -> Table:
    """A table from its JSON."""
    units, meanings = values["units"], values["meanings"]
    columns = (Column(name, units.get(name, ""), meanings.get(name, "")) for name in values["columns"])
    rows = (Row(tuple(row), again) for row, again in zip(values["rows"], values["again"], strict=True))
    return Table(study, tuple(columns), tuple(rows), values["caption"])


def laid_out(table: Table) -> list[object]:
    """The table and its charts."""
    n = table.column("n")[0]
    said = f"<p class='done'>Shipped with the project, from n = {n} prompts; each study below runs here.</p>"
    return [said + listing(table), *(drawn(chart(table, f"shipped-{name}")) for name in PLOTS)]


def chart(table: Table, name: str) -> "Chart":
    from sd3demo.plots.studies import CHARTS

    return CHARTS[name.removeprefix("shipped-")](table)
