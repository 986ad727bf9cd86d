"""What stands in a study's place before anybody has run it: what was recorded, or what will appear."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from sd3demo.catalogue import find, fingerprint
from sd3demo.errors import Refusal
from sd3demo.studies.results import RecordedStudy, recorded
from sd3demo.studies.study import Study, Table, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import opening_of
from sd3demo.ui.controls.labels import label
from sd3demo.ui.studies import table_view
from sd3demo.ui.studies.handlers import charts

if TYPE_CHECKING:
    from gradio.components.plot import PlotData

log = logging.getLogger(__name__)

COUNTS = ("n", "scenes")
"""Settings that say how much was measured; they are always told."""


@dataclass(frozen=True)
class RecordedView:
    """A sentence on what stands here; the table, None where nothing was recorded, and its charts."""

    note: str
    table: Table | None
    plots: "Sequence[PlotData | None]"

    @property
    def listing(self) -> str:
        return table_view.listing(self.table) if self.table else ""


def recorded_view(core: Core, name: str) -> RecordedView:
    """What stands in a study's place before a run."""
    study = find_study(name)
    found = recorded(name)
    if found is not None:
        try:
            return RecordedView(measured_note(core, found), found.table, charts(study, found.table))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            log.warning("passed over what was recorded of %s: it cannot be drawn: %s", name, error)
    return RecordedView(empty_note(study), None, [None] * len(study.charts))


def empty_note(study: Study) -> str:
    """What will appear."""
    count = len(study.charts)
    what = "a chart" if count == 1 else f"{count} charts"
    return f'<p class="hint">Press Run: {what} and a table appear here and fill as values are measured.</p>'


def measured_note(core: Core, found: RecordedStudy) -> str:
    """How much, under which settings and with which weights it was measured, in one sentence."""
    own = opening_of(type(found.settings), core.models)
    held = found.settings.model_dump()
    counts = [f"{name} = {held[name]}" for name in COUNTS if name in held]
    other = [
        _setting(name, value)
        for name, value in held.items()
        if name not in COUNTS and value is not None and value != own[name]
    ]
    told = ", ".join([*counts, *other, "all other settings as they open here"])
    return (
        f'<p class="measured">Recorded result: {escape(told)}; {weights(found)}. Your run replaces this.</p>'
    )


def weights(found: RecordedStudy) -> str:
    """Whether the weights that were measured are those that are here."""
    if not found.weights:
        return "with networks of its own"
    try:
        same = all(fingerprint(find(model)) == known for model, known in found.weights.items())
    except Refusal:
        return "with weights that are not here"
    return "with these weights" if same else "with an earlier version of the weights"


def _setting(name: str, value: object) -> str:
    title = label(name).title
    title = title if title[:2].isupper() or title[1:2].isdigit() else title[0].lower() + title[1:]
    return f"{title} {label(name).names.get(str(value), value)}"
