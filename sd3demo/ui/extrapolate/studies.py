"""What is known of the method on the embedded model: the recorded studies, and the same to be run here."""

from collections.abc import Mapping
from pathlib import Path

from sd3demo.ui.context import Core
from sd3demo.ui.run.markdown import section
from sd3demo.ui.studies.tabs import StudyTabs, study_tabs

STUDIES: Mapping[str, str] = {
    "imax-ablation": "Ablation",
    "imax-methods": "Methods",
    "imax-scale": "Scale",
    "imax-steps": "Steps",
}


def extrapolation_studies(core: Core, text: Path) -> StudyTabs:
    """The section of the tab: what the figures mean, and the studies, each open with what was recorded."""
    section(text, "Measured", elem_id="large-measured", elem_classes="fold")
    return study_tabs(core, STUDIES)
