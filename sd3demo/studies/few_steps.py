"""Few steps, SD3 paper, table 6, left half: what is lost at 5, 10 and 20 calls of the network, by solver.

Each solver takes as many steps as a budget of calls allows, never more: a solver with several stages takes
fewer steps. The measure is the distance to the picture that 50 Euler steps make of the same noise, and how
often the world's judge finds the picture right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from sd3demo.flow.grids import Convention, time_grid
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings import Scale, Shift, T5Mode, non_default_values
from sd3demo.studies.exam_pictures import (
    MORE,
    ExamSettings,
    exam_of,
    indexed_exams,
    local_budget,
    plan_of,
    request_field,
    resolved,
    run_to_end,
    single_model,
)
from sd3demo.studies.statistics import error, mean, rate_error
from sd3demo.studies.study import Cell, Column, Json, Measured, Measurement, Raw, Row, Scalar, Study, Table
from sd3demo.studies.value_lists import among, between, numbers_of, words_of

if TYPE_CHECKING:
    from torch import Tensor

    from sd3demo.engine import Engine
    from sd3demo.engine.events import Pixels
    from sd3demo.flow.solvers import Step
    from sd3demo.world.exam import Exam

REFERENCE = 50  # Euler steps


class FewSteps(ExamSettings):
    """How few calls, which solvers, and which pictures."""

    budgets: Annotated[str, between(1, 100, whole=True)] = Field(
        "5, 10, 20",
        description="Times that the network may be asked, with commas between; every solver uses up 5, 9, "
        "13, 17 and so on.",
    )
    solvers: Annotated[str, among(*SOLVERS)] = Field(
        "euler, heun, rk4, ab2", description="Solvers, with commas between."
    )
    n: int = Field(2, ge=1, le=10_000, description=MORE)
    cfg: Scale | None = request_field("cfg")
    shift: Shift | Literal["auto"] | None = request_field("shift")
    schedule: Convention | None = request_field("schedule")
    t5: T5Mode = request_field("t5")


def steps_within(solver: str, budget: int) -> int:
    """The most steps of a solver that ask the network at most so often."""
    steps = budget
    while steps > 1 and calls_of(solver, steps) > budget:
        steps -= 1
    return steps


def calls_of(solver: str, steps: int) -> int:
    """How often a solver asks the network in so many steps."""
    return len(SOLVERS[solver].visits(time_grid(steps)))


def cells(settings: FewSteps) -> list[Cell]:
    """One for each prompt: all solvers at all budgets, beside one reference."""
    base = resolved(settings, settings.device, {"steps": REFERENCE})
    arms = [
        (solver, steps_within(solver, int(budget)))
        for budget in numbers_of(settings.budgets)
        for solver in words_of(settings.solvers)
    ]
    found: list[Cell] = []
    for index, exam in indexed_exams(settings):
        changed = {"prompt": exam.prompt, "seed": (settings.seed + index) % 2**32}
        given: dict[str, Json] = {
            "exam": asdict(exam),
            "request": non_default_values(base.model_copy(update=changed)),
            "arms": sorted({f"{solver}/{steps}" for solver, steps in arms}),
            "device": local_budget(settings.device).device,
        }
        found.append(Cell(DISTANCES, base.model, given, {"category": exam.category}))
    return found


def table(settings: FewSteps, measured: Sequence[Measured]) -> Table:
    whole = [_arm(one, f"euler/{REFERENCE}") for one in measured]
    again = settings.model_dump(mode="json")
    rows = [Row((REFERENCE, "euler", REFERENCE, REFERENCE, *_values(whole, whole)), again)]
    for budget in numbers_of(settings.budgets):
        for solver in words_of(settings.solvers):
            steps = steps_within(solver, int(budget))
            found = [_arm(one, f"{solver}/{steps}") for one in measured]
            values = (int(budget), solver, steps, calls_of(solver, steps), *_values(found, whole))
            rows.append(Row(values, again | {"budgets": f"{budget:g}", "solvers": solver}))
    return Table(
        "few-steps",
        (
            Column("budget", "", "times that the network may be asked"),
            Column("solver"),
            Column("steps"),
            Column("calls", "", "times that it was asked; guidance asks for both its answers at once"),
            Column("score", "", "share of pictures of which every claim of the prompt is true"),
            Column("score error"),
            Column("decrease", "%", f"of the score, relative to {REFERENCE} Euler steps"),
            Column("soft", "", "mean of the softer marks"),
            Column("soft error"),
            Column("latent", "", f"root mean square distance to the latent of {REFERENCE} Euler steps"),
            Column("latent error"),
            Column("pixel", "", "the same of the pictures, of which white is 1"),
            Column("pixel error"),
            Column("n", "", "pictures"),
        ),
        tuple(rows),
        f"What {settings.model} loses with few calls of the network, by solver (SD3, table 6, which measures "
        f"CLIP score); distances to the picture of {REFERENCE} Euler steps from the same noise.",
    )


def _values(found: Sequence[Mapping[str, float]], whole: Sequence[Mapping[str, float]]) -> list[Scalar]:
    score, full = mean([one["passed"] for one in found]), mean([one["passed"] for one in whole])
    values: list[Scalar] = [score, rate_error(score, len(found)), 100 * (1 - score / full) if full else None]
    for name in ("soft", "latent", "pixel"):
        column = [one[name] for one in found]
        values += [mean(column), error(column)]
    return [*values, len(found)]


def _arm(one: Measured, name: str) -> Mapping[str, float]:
    return cast("Mapping[str, float]", one.raw[name])


def _distances(cell: Cell, engine: Engine) -> Raw:
    exam, request = exam_of(cell.given), cast("Mapping[str, Json]", cell.given["request"])

    def run(solver: str, steps: int) -> tuple[Tensor, Pixels]:
        last: list[Step] = []

        def watch(step: Step) -> None:
            last[:] = [step]

        changed = {**cell.given, "request": {**request, "solver": solver, "steps": steps}}
        finished = run_to_end(engine, plan_of(changed), watch)
        return last[0].x_next, finished.pictures[0]

    reference = run("euler", REFERENCE)
    found: dict[str, Json] = {f"euler/{REFERENCE}": _compared(exam, reference, reference)}
    for name in cast("Sequence[str]", cell.given["arms"]):
        solver, _, steps = name.partition("/")
        found[name] = _compared(exam, run(solver, int(steps)), reference)
    return found


def _compared(exam: Exam, one: tuple[Tensor, Pixels], other: tuple[Tensor, Pixels]) -> dict[str, Json]:
    """The marks of a picture and its distance to another, as (latent, picture)."""
    import numpy as np

    from sd3demo.world.exam import mark
    from sd3demo.world.judge import read

    result = mark(exam, read(one[1].transpose(2, 0, 1) / 255))
    pixels = (one[1].astype(np.float64) - other[1]) / 255
    return {
        "passed": float(result.passed),
        "soft": mean(list(result.parts.values())),
        "latent": float((one[0] - other[0]).double().square().mean().sqrt()),
        "pixel": float(np.sqrt(np.square(pixels).mean())),
    }


DISTANCES = Measurement("few-steps", 1, _distances)
STUDY = Study(FewSteps, single_model, cells, table, charts=("few-steps-latent", "few-steps-score"))
