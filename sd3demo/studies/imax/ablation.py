"""The ablation of projected flow, I-Max paper, figures 4 and 5: parts taken away one by one, and each alone.

Where the paper asks a language model which picture it prefers, the world knows its true pictures. The parts
are those in which the chosen preset differs from the network as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sd3demo.settings.extrapolation import PLAIN
from sd3demo.studies.exam_pictures import single_model
from sd3demo.studies.imax.larger_pictures import (
    ImaxSettings,
    cells_of,
    full,
    preset_title,
    steps_note,
    true_note,
)
from sd3demo.studies.imax.table import table_of
from sd3demo.studies.study import Cell, Column, Measured, Study, Table

ALL = "all parts"
PARTS: Mapping[str, tuple[str, object]] = {
    "projected flow": ("method", "direct"),
    "noised start": ("start", 1.0),
    "text duplication": ("text_copies", PLAIN["text_copies"]),
    "attention scale": ("attention", PLAIN["attention"]),
    "half-patch shift": ("half_patch", PLAIN["half_patch"]),
    "time shift": ("reshift", PLAIN["reshift"]),
    "positions": ("positions", PLAIN["positions"]),
}
"""Each part, its setting, and what takes it away; the guidance first, then the toolkit from the last that the
paper lists to the first."""


class ImaxAblation(ImaxSettings):
    """Of which settings, over which prompts."""


def parts_of(settings: ImaxAblation) -> dict[str, tuple[str, object]]:
    """The parts that the preset has."""
    chosen = full(settings)
    return {name: (field, off) for name, (field, off) in PARTS.items() if chosen[field] != off}


def arms_of(settings: ImaxAblation) -> dict[str, dict[str, object]]:
    """The upsampled picture, all parts, one part after another taken away, and each alone."""
    whole, parts = full(settings), parts_of(settings)
    arms = {"upsampled": whole | {"method": "upsample"}, ALL: whole}
    gone: dict[str, object] = {}
    for name, (field, off) in parts.items():
        arms[f"… and {name}" if gone else f"without {name}"] = whole | {**gone, field: off}
        gone[field] = off
    return arms | {f"without {name}": whole | {field: off} for name, (field, off) in parts.items()}


def cells(settings: ImaxAblation) -> list[Cell]:
    return cells_of(settings, lambda scale: arms_of(settings))


def table(settings: ImaxAblation, measured: Sequence[Measured]) -> Table:
    return table_of(
        "imax-ablation",
        settings,
        measured,
        compared=ALL,
        named=Column("arm", "", "what is taken away; '… and' takes away one more than the row above"),
        caption=f"Ablation of projected flow ({preset_title(settings)}) on {settings.model}, as in I-Max, "
        f"figures 4 and 5. {true_note(settings)} The renders' row shows how near a set of this size can "
        f"come, and the autoencoder's what no method can pass. {steps_note(measured)}",
    )


STUDY = Study(
    ImaxAblation,
    single_model,
    cells,
    table,
    charts=(
        "imax-paired-wins",
        "imax-paired-patches",
        "imax-patches",
        "imax-spectrum",
        "imax-drift",
        "imax-obeyed",
        "imax-wins",
    ),
)
