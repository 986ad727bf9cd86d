"""What is known of the method on the embedded model: the shipped ablation, and the same to be run here."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from sd3demo.catalogue import assets
from sd3demo.studies.study import Column, Row, Table
from sd3demo.ui.charts import drawn
from sd3demo.ui.core import Core
from sd3demo.ui.prose import section
from sd3demo.ui.quick import at_once
from sd3demo.ui.study import study_panel
from sd3demo.ui.tabled import listing

STUDY = "imax-ablation"


def measured(core: Core, text: Path) -> None:
    """The section of the tab: what the figures mean, and the study with the shipped table in its places."""
    tab = Context.block
    with gr.Column(elem_id="large-measured", elem_classes="knobs"):
        section(text, "Measured")
    panel = study_panel(core, STUDY)
    found = shipped(assets() / "studies" / f"{STUDY}.json")
    if found is not None and isinstance(tab, gr.Tab):  # plotly comes in here: not before somebody looks
        outputs = [panel.status, panel.table, *(place.plot for place in panel.frames)]
        at_once([tab.select], partial(laid_out, found), [], outputs)


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
    """A status, the table and its charts."""
    from sd3demo.plots.studies import CHARTS
    from sd3demo.studies.study import find_study

    n = table.column("n")[0]
    said = f'<p class="done">Measured before and shipped with the project, n = {n}; Run measures it here.</p>'
    return [said, listing(table), *(drawn(CHARTS[name](table)) for name in find_study(STUDY).charts)]
