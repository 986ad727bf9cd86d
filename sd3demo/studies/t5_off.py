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
    Exams,
    cells_of,
    model_of,
    of_request,
)
from sd3demo.studies.score_rows import BUILT_IN, COLUMNS, rows
from sd3demo.studies.study import Cell, Column, Measured, Scalar, Study, Table
from sd3demo.studies.value_lists import several, words_of


class T5Off(Exams):
    """Which meanings of off, and which pictures."""

    t5: Annotated[str, several("t5")] = Field(
        "on, zeros, omit, empty",
        description="What T5 gives: its tokens, zeros, none, or those of an empty text; with commas between.",
    )
    n: int = Field(4, ge=1, le=10_000, description=MORE)
    categories: Categories = Field("all", description=KINDS)
    steps: Steps | None = of_request("steps")
    cfg: Scale | None = of_request("cfg")
    shift: Shift | Literal["auto"] | None = of_request("shift")
    solver: Solver = of_request("solver")


def cells(settings: T5Off) -> list[Cell]:
    arms: list[dict[str, Scalar]] = [{"t5": value} for value in words_of(settings.t5)]
    return cells_of(settings, arms, at=dict)


def table(settings: T5Off, measured: Sequence[Measured]) -> Table:
    return Table(
        "t5-off",
        (Column("t5"), *COLUMNS),
        rows(measured, "t5", settings.model_dump(mode="json")),
        f"Score of {settings.model} by category with T5 and without it, in the three meanings of that; "
        f"standard errors over prompts. {BUILT_IN}",
    )


STUDY = Study(T5Off, model_of, cells, table, charts=("t5-off", "t5-off-soft"))
