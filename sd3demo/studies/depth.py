"""Depth, SD3 paper, table 6 and figure 8: validation loss, score and path length of the models of one family.

The paper finds that deeper models have a lower velocity loss on held-out data, better scores, and shorter,
straighter paths. Here they are the embedded model's depths, however many of them there are.
"""

from collections.abc import Sequence

from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.settings import Steps, Text, parse
from sd3demo.studies.exam_pictures import MORE, PICTURE, SamplingSettings, cells_of
from sd3demo.studies.path_length import depths_beside
from sd3demo.studies.score_rows import by_category
from sd3demo.studies.statistics import error, grouped, mean, numbers
from sd3demo.studies.study import Cell, Column, Measured, Row, Scalar, Study, Table
from sd3demo.studies.value_lists import some, words_of
from sd3demo.studies.velocity_loss import LOSSES, VelocityLoss, loss, loss_cell


class DepthStudy(SamplingSettings):
    """Which models, measured on how much."""

    models: Text = Field(
        "", description="Models, with commas between; all depths of the model's family when empty."
    )
    n: int = Field(2, ge=1, le=10_000, description=MORE)
    scenes: int = Field(16, ge=1, le=10_000, description="Held-out scenes for the velocity loss.")
    steps: Steps | None = Field(50, description="Steps of the solver from noise to picture, the paper's 50.")


def models(settings: DepthStudy) -> Sequence[str]:
    return words_of(some(settings.models)) if settings.models else depths_beside(settings.model)


def cells(settings: DepthStudy) -> list[Cell]:
    """Model by model, since each has to be read: its scenes, then its pictures."""
    held_out = parse(VelocityLoss, {"n": settings.scenes, "t5": settings.t5, "device": settings.device})
    found: list[Cell] = []
    for model in models(settings):
        for index in range(settings.scenes):
            cell = loss_cell(held_out, index, 1, model)
            found.append(Cell(cell.measurement, model, cell.given, {"model": model}))
        found += cells_of(settings, [{"model": model}], at=dict)
    return found


def table(settings: DepthStudy, measured: Sequence[Measured]) -> Table:
    groups = grouped(measured, lambda arm: arm["model"])
    return Table(
        "depth",
        (
            Column("model"),
            Column("depth", "", "blocks of the transformer"),
            Column("loss", "", "velocity loss on held-out scenes, mean of t = 1/8 to 7/8"),
            Column("loss error"),
            Column("score", "", "share of pictures that are right, mean over the categories"),
            Column("score error"),
            Column("soft", "", "mean of the softer marks"),
            Column("soft error"),
            Column("length", "", "path length"),
            Column("length error"),
            Column("scenes", "", "behind the loss"),
            Column("n", "", "pictures behind the score and the length"),
        ),
        tuple(_row(settings, str(model), found) for model, found in groups.items()),
        "Held-out velocity loss, score and path length by depth (SD3, table 6 and figure 8); standard errors "
        "over scenes and prompts. How long each depth was trained is in the model's card.",
    )


def _row(settings: DepthStudy, model: str, found: Sequence[Measured]) -> Row:
    losses = [loss(one.raw, None) for one in found if one.cell.measurement is LOSSES]
    pictures = [one for one in found if one.cell.measurement is PICTURE]
    values: list[Scalar] = [model, find(model).network.depth]
    values += [mean(losses), error(losses)] if losses else [None, None]
    if pictures:
        marks = list(by_category(pictures).values())[-1]
        lengths = numbers(pictures, "length")
        values += [
            marks.score,
            marks.score_error,
            marks.soft,
            marks.soft_error,
            mean(lengths),
            error(lengths),
        ]
    else:
        values += [None] * 6
    again = settings.model_dump(mode="json") | {"models": model}
    return Row((*values, len(losses), len(pictures)), again)


STUDY = Study(DepthStudy, models, cells, table, charts=("depth-loss", "depth-score", "depth-length"))
