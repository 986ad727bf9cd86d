"""Score against the guidance scale: what classifier-free guidance buys, and when it is too much."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sd3demo.settings import Shift, Solver, Steps, T5Mode
from sd3demo.studies.exam_pictures import MORE, ExamSettings, cells_of, request_field, single_model
from sd3demo.studies.score_rows import COLUMNS, rows_of
from sd3demo.studies.study import Cell, Column, Measured, Scalar, Study, Table
from sd3demo.studies.value_lists import numbers_of, several


class ScoreCfg(ExamSettings):
    """How much guidance, and which pictures."""

    cfg: Annotated[str, several("cfg")] = Field(
        "1, 2, 4, 6, 10", description="Guidance scales, with commas between; 1 is none."
    )
    n: int = Field(4, ge=1, le=10_000, description=MORE)
    steps: Steps | None = request_field("steps")
    shift: Shift | Literal["auto"] | None = request_field("shift")
    solver: Solver = request_field("solver")
    t5: T5Mode = request_field("t5")


def cells(settings: ScoreCfg) -> list[Cell]:
    arms: list[dict[str, Scalar]] = [{"cfg": value} for value in numbers_of(settings.cfg)]
    return cells_of(settings, arms, at=dict)


def table(settings: ScoreCfg, measured: Sequence[Measured]) -> Table:
    return Table(
        "score-cfg",
        (Column("cfg"), *COLUMNS),
        rows_of(measured, "cfg", settings.model_dump(mode="json")),
        f"Score of {settings.model} by the world's judge against the guidance scale; standard "
        "errors over prompts.",
    )


STUDY = Study(ScoreCfg, single_model, cells, table, charts=("score-cfg", "soft-cfg"))
