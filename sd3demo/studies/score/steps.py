"""Score against the number of steps, for one model.

SD3's figure 3 compares formulations by it (the rectified flow loses least at few steps); here there is one,
the rectified flow, so that the comparison itself is not made.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sd3demo.settings import Scale, Shift, Solver, T5Mode
from sd3demo.studies.exam_pictures import MORE, ExamSettings, cells_of, request_field, single_model
from sd3demo.studies.score_rows import COLUMNS, rows_of
from sd3demo.studies.study import Cell, Column, Measured, Scalar, Study, Table
from sd3demo.studies.value_lists import numbers_of, several


class ScoreSteps(ExamSettings):
    """How many steps, and which pictures."""

    steps: Annotated[str, several("steps")] = Field(
        "1, 2, 3, 5, 10, 28, 50", description="Steps of the solver, with commas between."
    )
    n: int = Field(4, ge=1, le=10_000, description=MORE)
    cfg: Scale | None = request_field("cfg")
    shift: Shift | Literal["auto"] | None = request_field("shift")
    solver: Solver = request_field("solver")
    t5: T5Mode = request_field("t5")


def cells(settings: ScoreSteps) -> list[Cell]:
    arms: list[dict[str, Scalar]] = [{"steps": value} for value in numbers_of(settings.steps)]
    return cells_of(settings, arms, at=dict)


def table(settings: ScoreSteps, measured: Sequence[Measured]) -> Table:
    return Table(
        "score-steps",
        (Column("steps"), *COLUMNS),
        rows_of(measured, "steps", settings.model_dump(mode="json")),
        f"Score of {settings.model} by the world's judge against the number of steps; standard "
        "errors over prompts.",
    )


STUDY = Study(ScoreSteps, single_model, cells, table, charts=("score-steps", "soft-steps"))
