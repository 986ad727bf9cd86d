"""What is known of the method on the embedded model: the recorded studies, and the same to be run here."""

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from sd3demo.ui.context import Core
from sd3demo.ui.run.markdown import section
from sd3demo.ui.studies.tabs import Studies, studies

STUDIES: Mapping[str, str] = {
    "imax-ablation": "Ablation",
    "imax-methods": "Methods",
    "imax-scale": "Scale",
    "imax-steps": "Steps",
}


def measured(core: Core, text: Path) -> Studies:
    """The section of the tab: what the figures mean, and the studies, each open with what was recorded."""
    with gr.Column(elem_id="large-measured", elem_classes="knobs"):
        section(text, "Measured")
    return studies(core, STUDIES)
