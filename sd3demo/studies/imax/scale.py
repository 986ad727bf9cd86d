"""Gains by size, I-Max paper, figure 6: up to which scale a larger picture is truer than the upsampled one.

A win is a prompt on which a method comes nearer to true pictures than the upsampled native picture.
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
    steps_note,
    true_note,
)
from sd3demo.studies.imax.table import table_of
from sd3demo.studies.study import Cell, Column, Measured, Study, Table
from sd3demo.studies.value_lists import between

METHODS = (UPSAMPLE, "direct", "projected")


class ImaxScale(ImaxSettings):
    """Which scales, over which prompts."""

    scales: Annotated[str, between(1, 16)] = Field(
        "1.5, 2, 3, 4", description="How many times larger than the native picture, with commas between."
    )


def cells(settings: ImaxScale) -> list[Cell]:
    return cells_of(settings, lambda scale: {name: full(settings) | {"method": name} for name in METHODS})


def table(settings: ImaxScale, measured: Sequence[Measured]) -> Table:
    return table_of(
        "imax-scale",
        settings,
        measured,
        compared=UPSAMPLE,
        named=Column("arm", "", "the method"),
        caption=f"Larger pictures by scale on {settings.model} ({preset_title(settings)}), as in I-Max, "
        f"figure 6. {true_note(settings)} {steps_note(measured)}",
    )


STUDY = Study(
    ImaxScale,
    single_model,
    cells,
    table,
    charts=(
        "imax-paired-wins",
        "imax-paired-patches",
        "imax-patches",
        "imax-spectrum",
        "imax-obeyed",
        "imax-wins",
    ),
)
