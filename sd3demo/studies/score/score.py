"""The score of a model on the embedded world: prompts by category, each picture marked by the judge.

Categories are GenEval's six (SD3 Table 5) and typography; the pictures are those that `generate` makes
for the same settings. Beside each score stands its ceiling: true pictures of the same prompts, through
the model's own autoencoder and back, marked by the same judge.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from pydantic import Field

from sd3demo.settings import Resolved, counted, non_default_values
from sd3demo.studies.exam_pictures import (
    GENEVAL,
    KINDS,
    MORE,
    PICTURE,
    Categories,
    SamplingSettings,
    exam_cell,
    exam_of,
    indexed_exams,
    local_budget,
    plan_of,
    resolved,
    single_model,
    with_all_picture_settings,
)
from sd3demo.studies.score_rows import (
    BUILT_IN,
    COLUMNS,
    PART_COLUMNS,
    PARTS,
    CategoryScore,
    by_category,
    mean_score,
)
from sd3demo.studies.statistics import grouped, mean, numbers
from sd3demo.studies.study import Cell, Column, Json, Measured, Measurement, Raw, Row, Scalar, Study, Table

if TYPE_CHECKING:
    from sd3demo.engine import Engine


@with_all_picture_settings
class ScoreStudy(SamplingSettings):
    """Which prompts, and every setting of a picture but its text."""

    n: int = Field(100, ge=1, le=10_000, description=MORE)
    categories: Categories = Field("all", description=KINDS)


@dataclass(frozen=True)
class Rate:
    """A share of n with its standard error, and the share of true pictures that the autoencoder leaves
    right."""

    rate: float
    error: float
    ceiling: float | None
    n: int
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Scores:
    """Rates by category; `overall` is the mean of GenEval's six, when all were asked."""

    scores: Mapping[str, Rate]
    overall: float | None
    settings: Resolved


def cells(settings: ScoreStudy) -> list[Cell]:
    """A picture for each prompt, and after it what the autoencoder leaves of a true one."""
    base = resolved(settings, settings.device, {})
    read = {"model", "prompt", "width", "height", "precision", "placement"}
    found: list[Cell] = []
    for index, exam in indexed_exams(settings):
        found.append(exam_cell(exam, base, settings.seed + index, settings.device, {}))
        given: dict[str, Json] = {
            "exam": asdict(exam),
            "scene": f"truth/{exam.category}/{settings.exam_seed}/{index}",
            "request": non_default_values(base, read),
            "device": local_budget(settings.device).device,
        }
        found.append(Cell(CEILING, base.model, given, {"category": exam.category}))
    return found


def scores_of(settings: ScoreStudy, measured: Sequence[Measured]) -> Scores:
    """The rates of the pictures that were marked so far."""
    pictures = [one for one in measured if one.cell.measurement is PICTURE]
    ceilings = grouped(
        (one for one in measured if one.cell.measurement is CEILING), lambda arm: arm["category"]
    )
    rates = {
        name: _rate(marks, ceilings.get(name, []))
        for name, marks in by_category(pictures).items()
        if name != "mean"
    }
    whole = all(name in rates for name in GENEVAL)
    overall = mean([rates[name].rate for name in GENEVAL]) if whole else None
    return Scores(rates, overall, resolved(settings, settings.device, {}))


def table(settings: ScoreStudy, measured: Sequence[Measured]) -> Table:
    """Scores and their ceilings by category."""
    found = by_category([one for one in measured if one.cell.measurement is PICTURE])
    rates = scores_of(settings, measured).scores
    if all(name in found for name in GENEVAL):
        found["mean"] = mean_score([found[name] for name in GENEVAL])
    rows: list[Row] = []
    for name, one in found.items():
        again = settings.model_dump(mode="json") | ({} if name == "mean" else {"categories": name})
        ceiling: Scalar = rates[name].ceiling if name in rates else None
        rows.append(Row((name, *one.values, ceiling, *(one.parts.get(part) for part in PARTS)), again))
    used = scores_of(settings, measured).settings
    return Table(
        "score",
        (
            *COLUMNS,
            Column("ceiling", "", "share of true pictures that pass after the autoencoder"),
            *PART_COLUMNS,
        ),
        tuple(rows),
        f"Score of {settings.model} by the world's judge: {counted(used.steps, f'{used.solver} step')}, "
        f"guidance {used.cfg:g}, shift {used.shift:g}, T5 {used.t5}, {used.width} x {used.height} px; "
        "standard errors over prompts; mean is that of GenEval's six where all were asked."
        + ("" if used.t5 == "on" else f" {BUILT_IN}"),
    )


def _rate(marks: CategoryScore, ceilings: Sequence[Measured]) -> Rate:
    ceiling = mean(numbers(ceilings, "passed")) if ceilings else None
    parts = {name: round(value, 4) for name, value in marks.parts.items()}
    return Rate(marks.score, marks.score_error, ceiling, marks.n, parts)


def _ceiling(cell: Cell, engine: Engine) -> Raw:
    """A true picture of an exam's claim, through the autoencoder and back, marked."""
    import torch

    from sd3demo.world.exam import mark, truth
    from sd3demo.world.judge import read
    from sd3demo.world.render import render

    exam, plan = exam_of(cell.given), plan_of(cell.given)
    scene = truth(exam, random.Random(cast(str, cell.given["scene"])))
    with engine.hold(plan) as ready, torch.inference_mode():
        picture = render([scene], plan.request.width).to(ready.device)
        again = ready.model.to_image(ready.model.to_latent(picture * 2 - 1)).float().cpu()
    result = mark(exam, read((again[0] / 2 + 0.5).clamp(0, 1)))
    return {"passed": result.passed, "parts": result.parts}


CEILING = Measurement("ceiling", 1, _ceiling)
STUDY = Study(ScoreStudy, single_model, cells, table, charts=("score", "soft"))
