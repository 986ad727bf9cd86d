"""Projected flow beside its rivals, I-Max paper, figures 7 and 8: all from one native picture and one noise.

The network is turned the same way for all of them, as the preset says; only what holds the picture together
is another. A win is a prompt on which a method comes nearer to true pictures than projected flow does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sd3demo.flow.extrapolation.methods import METHODS
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
from sd3demo.studies.value_lists import among, words_of

OURS = "projected"
HERE = tuple(name for name in METHODS if name != "super-resolution")  # that one needs a file of the user's
RIVALS = tuple(name for name in HERE if name != OURS and "trajectory" not in METHODS[name].needs)
"""Those that can enlarge a drawn picture."""


class ImaxMethods(ImaxSettings):
    """Which methods, over which prompts."""

    methods: Annotated[str, among(*HERE)] = Field(
        ", ".join(RIVALS),
        description="What projected flow is compared with, with commas between; hiflow, which follows the "
        "native run, needs a native picture that is made.",
    )


def arms_of(settings: ImaxMethods) -> dict[str, dict[str, object]]:
    names = dict.fromkeys((OURS, *words_of(settings.methods)))
    return {name: full(settings) | {"method": name} for name in names}


def cells(settings: ImaxMethods) -> list[Cell]:
    return cells_of(settings, lambda scale: arms_of(settings))


def table(settings: ImaxMethods, measured: Sequence[Measured]) -> Table:
    return table_of(
        "imax-methods",
        settings,
        measured,
        compared=OURS,
        named=Column("arm", "", "the method"),
        caption=f"Ways to a larger picture on {settings.model}, with the network as in "
        f"{preset_title(settings)}, as in I-Max, figures 7 and 8. {true_note(settings)} "
        f"{steps_note(measured)}",
    )


STUDY = Study(
    ImaxMethods,
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
