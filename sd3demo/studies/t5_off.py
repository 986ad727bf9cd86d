"""Without T5, SD3 paper, section 5.3.3 and figures 7 and 9: what breaks without the largest text encoder.

Three things are called that: zeros in place of its tokens, as the dropout of training does; its tokens left
out; the tokens of an empty text. They give different pictures.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sd3demo.settings import Scale, Shift, Solver, Steps
from sd3demo.studies.exam_pictures import (
    KINDS,
    MORE,
    Categories,
    ExamSettings,
    cells_of,
    request_field,
    single_model,
)
from sd3demo.studies.score_rows import BUILT_IN, COLUMNS, rows_of
from sd3demo.studies.study import Cell, Column, Measured, Scalar, Study, Table
from sd3demo.studies.value_lists import several, words_of


class T5Off(ExamSettings):
    """Which meanings of off, and which pictures."""

    t5: Annotated[str, several("t5")] = Field(
        "on, zeros, omit, empty",
        description="What T5 gives: its tokens, zeros, none, or those of an empty text; with commas between.",
    )
    n: int = Field(4, ge=1, le=10_000, description=MORE)
    categories: Categories = Field("all", description=KINDS)
    steps: Steps | None = request_field("steps")
    cfg: Scale | None = request_field("cfg")
    shift: Shift | Literal["auto"] | None = request_field("shift")
    solver: Solver = request_field("solver")


def cells(settings: T5Off) -> list[Cell]:
    arms: list[dict[str, Scalar]] = [{"t5": value} for value in words_of(settings.t5)]
    return cells_of(settings, arms, at=dict)


def table(settings: T5Off, measured: Sequence[Measured]) -> Table:
    return Table(
        "t5-off",
        (Column("t5"), *COLUMNS),
        rows_of(measured, "t5", settings.model_dump(mode="json")),
        f"Score of {settings.model} by category with T5 and without it, in the three meanings of that; "
        f"standard errors over prompts. {BUILT_IN}",
    )


STUDY = Study(T5Off, single_model, cells, table, charts=("t5-off", "t5-off-soft"))
