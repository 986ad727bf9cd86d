"""Score against the number of steps, SD3 paper, figure 3: how few steps a straight flow needs."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sd3demo.settings import Scale, Shift, Solver
from sd3demo.studies.exam_pictures import MORE, Exams, T5Mode, cells_of, model_of, of_request
from sd3demo.studies.score_rows import COLUMNS, rows
from sd3demo.studies.study import Cell, Column, Measured, Scalar, Study, Table
from sd3demo.studies.value_lists import numbers_of, several


class ScoreSteps(Exams):
    """How many steps, and which pictures."""

    steps: Annotated[str, several("steps")] = Field(
        "1, 2, 3, 5, 10, 28, 50", description="Steps of the solver, with commas between."
    )
    n: int = Field(4, ge=1, le=10_000, description=MORE)
    cfg: Scale | None = of_request("cfg")
    shift: Shift | Literal["auto"] | None = of_request("shift")
    solver: Solver = of_request("solver")
    t5: T5Mode = of_request("t5")


def cells(settings: ScoreSteps) -> list[Cell]:
    arms: list[dict[str, Scalar]] = [{"steps": value} for value in numbers_of(settings.steps)]
    return cells_of(settings, arms, at=dict)


def table(settings: ScoreSteps, measured: Sequence[Measured]) -> Table:
    return Table(
        "score-steps",
        (Column("steps"), *COLUMNS),
        rows(measured, "steps", settings.model_dump(mode="json")),
        f"Score of {settings.model} by the world's judge against the number of steps; standard "
        "errors over prompts.",
    )


STUDY = Study(ScoreSteps, model_of, cells, table, charts=("score-steps", "soft-steps"))
