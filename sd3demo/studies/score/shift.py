"""Score against the shift at several sizes, SD3 paper, section 5.3.2, figure 6: more pixels, more shift.

By eq. 23 a picture of s times the side wants s times the shift.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.settings import Scale, Solver, Steps, T5Mode
from sd3demo.studies.exam_pictures import MORE, ExamSettings, cells_of, request_field, single_model
from sd3demo.studies.score_rows import COLUMNS, by_category
from sd3demo.studies.statistics import in_arm
from sd3demo.studies.study import Cell, Column, Measured, Row, Scalar, Study, Table
from sd3demo.studies.value_lists import between, numbers_of, several


class ScoreShift(ExamSettings):
    """Which shifts at which sizes, and which pictures."""

    shift: Annotated[str, several("shift")] = Field(
        "0.5, 1, 2, 4", description="Shifts of the time, with commas between."
    )
    scales: Annotated[str, between(1, 8)] = Field(
        "1, 2", description="Sizes in native sides, from 1 on, with commas between."
    )
    n: int = Field(2, ge=1, le=10_000, description=MORE)
    steps: Steps | None = request_field("steps")
    cfg: Scale | None = request_field("cfg")
    solver: Solver = request_field("solver")
    t5: T5Mode = request_field("t5")


def cells(settings: ScoreShift) -> list[Cell]:
    native = find(settings.model).native

    def changed(scale: float, shift: float) -> Mapping[str, Scalar]:
        side = round(scale * native)
        return {"shift": shift, "width": side, "height": side}

    arms: list[dict[str, Scalar]] = [
        {"scale": scale, "shift": shift}
        for scale in numbers_of(settings.scales)
        for shift in numbers_of(settings.shift)
    ]
    return cells_of(settings, arms, at=changed)


def table(settings: ScoreShift, measured: Sequence[Measured]) -> Table:
    native = find(settings.model).native
    rows: list[Row] = []
    for scale in numbers_of(settings.scales):
        for shift in numbers_of(settings.shift):
            found = by_category(in_arm(measured, scale=scale, shift=shift))
            for category, marks in found.items():
                again = settings.model_dump(mode="json") | {"scales": f"{scale:g}", "shift": f"{shift:g}"}
                again |= {"categories": category} if category != "mean" else {}
                rows.append(Row((scale, round(scale * native), shift, category, *marks.values), again))
    return Table(
        "score-shift",
        (
            Column("scale", "", "side of the picture in native sides"),
            Column("side", "px"),
            Column("shift"),
            *COLUMNS,
        ),
        tuple(rows),
        f"Score of {settings.model} by the world's judge against the shift, by size (SD3, figure 6, asked "
        "people instead); standard "
        "errors over prompts.",
    )


STUDY = Study(ScoreShift, single_model, cells, table, charts=("score-shift", "soft-shift"))
