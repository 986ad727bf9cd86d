"""Few steps at the larger size, I-Max paper, figure 10: what they cost and how true the picture is.

A win is a prompt on which so many steps come nearer to true pictures than the upsampled native picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sd3demo.studies.exam_pictures import single_model
from sd3demo.studies.imax.larger_pictures import (
    UPSAMPLE,
    ImaxSettings,
    cells_of,
    full,
    preset_title,
    true_note,
)
from sd3demo.studies.imax.table import table_of
from sd3demo.studies.study import Cell, Column, Measured, Study, Table
from sd3demo.studies.value_lists import between, numbers_of


class ImaxSteps(ImaxSettings):
    """Which numbers of steps, over which prompts."""

    counts: Annotated[str, between(1, 1000, whole=True)] = Field(
        "2, 4, 8, 16, 28", description="Steps of the larger stage, with commas between."
    )


def arms_of(settings: ImaxSteps) -> dict[str, dict[str, object]]:
    counts = (int(count) for count in numbers_of(settings.counts))
    arms = {f"{count} steps": full(settings) | {"large_steps": count} for count in counts}
    return {UPSAMPLE: full(settings) | {"method": UPSAMPLE}, **arms}


def cells(settings: ImaxSteps) -> list[Cell]:
    return cells_of(settings, lambda scale: arms_of(settings))


def table(settings: ImaxSteps, measured: Sequence[Measured]) -> Table:
    counts = {f"{count} steps": count for count in map(int, numbers_of(settings.counts))}
    return table_of(
        "imax-steps",
        settings,
        measured,
        compared=UPSAMPLE,
        named=Column("steps", "", "of the larger stage"),
        value=counts,
        caption=f"Projected flow ({preset_title(settings)}) on {settings.model} in few steps, as in I-Max, "
        f"figure 10. {true_note(settings)}",
    )


STUDY = Study(
    ImaxSteps,
    single_model,
    cells,
    table,
    charts=(
        "imax-paired-wins",
        "imax-paired-patches",
        "imax-patches",
        "imax-spectrum",
        "imax-wins",
        "imax-operations",
    ),
)
