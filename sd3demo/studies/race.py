"""The race: SD3's table 1 and figure 3 repeated in the plane, trained from one seed (section 5.1).

Each formulation is trained on points of the plane with the same network, optimiser, batches and noise, and
sampled in 5, 10, 25 and 50 steps. The measure is the sliced Wasserstein distance to fresh points of the data.
Within one data set and one seed all formulations are ranked by it, at each number of steps; ranks are
averaged, as in table 1. Images rank by two measures and by a non-dominated sort; one measure needs none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sd3demo.settings import Settings
from sd3demo.studies.statistics import error, grouped, mean, mean_of_rates
from sd3demo.studies.study import Cell, Column, Measured, Measurement, Raw, Row, Scalar, Study, Table
from sd3demo.studies.value_lists import among, between, numbers_of, words_of

if TYPE_CHECKING:
    from sd3demo.engine import Engine

DENSITIES = (
    "rf",
    "rf/lognorm(0.00,1.00)",
    "rf/lognorm(1.00,0.60)",
    "rf/lognorm(0.50,0.60)",
    "rf/lognorm(0.50,1.00)",
    "rf/mode(1.29)",
    "rf/mode(1.75)",
    "rf/cosmap",
)
"""The rectified flow with each density of t, by table 1's names."""
DIFFUSIONS = (
    "eps/linear",
    "v/linear",
    "eps/cos",
    "v/cos",
    "edm(-1.20,1.20)",
    "edm(0.00,0.60)",
    "edm(0.60,1.20)",
)
ENTRANTS: Mapping[str, tuple[str, ...]] = {
    "all": (*DENSITIES, *DIFFUSIONS),
    "densities": DENSITIES,
    "paths": (*DENSITIES[:2], *DIFFUSIONS),
}
POINTS = 8192  # samples, and points of the data that they are compared with
SAMPLED = 10**6  # from the seed of a training to that of its samples
ALL = "all"  # in place of a number of steps, in the rows of the mean over them

COLUMNS = (
    Column("formulation", "", "the name of table 1"),
    Column("steps", "", "of the sampler, each a call of the network; all is the mean over them"),
    Column("distance", "", "sliced Wasserstein distance of samples to data"),
    Column("distance error", "", "its standard error over the seeds"),
    Column("lost", "", "distance less that of the same network at the most steps"),
    Column("lost error", "", "its standard error over the seeds"),
    Column("rank", "", "mean rank among the formulations, 1 is best"),
    Column("rank error", "", "its standard error over the seeds"),
    Column("floor", "", "distance of as many fresh points of the data to them"),
    Column("n", "", "networks trained"),
)


class Race(Settings):
    """Which formulations, on which data, how long and how often."""

    formulations: Literal["all", "densities", "paths"] = Field(
        "all", description="All, densities of the rectified flow alone, or it beside other paths."
    )
    plane_data: Annotated[str, among("moons", "clusters", "rings", "checkerboard", "normal")] = Field(
        "moons, checkerboard", description="Points of the plane, with commas between."
    )
    n: int = Field(1, ge=1, le=100, description="Seeds; a larger n extends what was kept.")
    budgets: Annotated[str, between(1, 100, whole=True)] = Field(
        "5, 10, 25, 50", description="Steps of the sampler, with commas between."
    )
    training_steps: int = Field(1000, ge=10, le=5000, description="Of each network, 1024 points each.")
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Draws weights, points and noise; network k of n has seed + k."
    )


def models(settings: Race) -> Sequence[str]:
    return ()


def cells(settings: Race) -> list[Cell]:
    """One for each network: all formulations on all data for a seed, then the next seed."""
    return [
        Cell(
            PLANE_FLOW,
            "",
            {
                "formulation": name,
                "data": data,
                "seed": settings.seed + k,
                "training_steps": settings.training_steps,
                "budgets": [int(steps) for steps in numbers_of(settings.budgets)],
            },
            {"formulation": name, "data": data, "seed": settings.seed + k},
        )
        for k in range(settings.n)
        for data in words_of(settings.plane_data)
        for name in ENTRANTS[settings.formulations]
    ]


def table(settings: Race, measured: Sequence[Measured]) -> Table:
    """A row for each formulation and number of steps, and one over all; errors over seeds alone."""
    budgets = tuple(int(steps) for steps in numbers_of(settings.budgets))
    ranks = _ranks(measured, budgets, len(ENTRANTS[settings.formulations]))
    again = settings.model_dump(mode="json")
    rows = []
    stops: tuple[int | str, ...] = (*budgets, ALL)
    for name, found in grouped(measured, lambda arm: arm["formulation"]).items():
        for steps in stops:
            taken = budgets if steps == ALL else (int(steps),)
            rows.append(Row((name, steps, *_figures(found, taken, max(budgets), ranks), len(found)), again))
    return Table(
        "race",
        COLUMNS,
        tuple(rows),
        f"Formulations of SD3's table 1 on {settings.plane_data}: networks of the same weights at first, "
        f"trained for {settings.training_steps} steps on the same batches. Errors are over seeds alone. The "
        "plane is no image: ranks are to be compared with the paper's, distances are not.",
    )


Place = tuple[Scalar, Scalar, Scalar]


def _ranks(
    measured: Sequence[Measured], budgets: Sequence[int], entrants: int
) -> Mapping[Place, Mapping[int, float]]:
    """The rank of each network at each number of steps, where all others of its data and seed are known."""
    blocks: dict[tuple[Scalar, Scalar], list[Measured]] = {}
    for one in measured:
        blocks.setdefault((one.cell.arm["data"], one.cell.arm["seed"]), []).append(one)
    found: dict[Place, dict[int, float]] = {}
    for block in blocks.values():
        if len(block) < entrants:
            continue
        for steps in budgets:
            distances = [_distance(one, steps) for one in block]
            for one, own in zip(block, distances, strict=True):
                rank = 1 + sum(d < own for d in distances) + (distances.count(own) - 1) / 2
                found.setdefault(_place(one), {})[steps] = rank
    return found


def _figures(
    found: Sequence[Measured],
    steps: Sequence[int],
    most: int,
    ranks: Mapping[Place, Mapping[int, float]],
) -> tuple[Scalar, ...]:
    """Distance, what is lost, rank, each with its error, and the floor, over these numbers of steps."""
    by_data = [*grouped(found, lambda arm: arm["data"]).values()]
    distances = [[mean([_distance(one, k) for k in steps]) for one in group] for group in by_data]
    lost = [
        [mean([_distance(one, k) - _distance(one, most) for k in steps]) for one in group]
        for group in by_data
    ]
    placed = [
        [mean([ranks[_place(one)][k] for k in steps]) for one in group if _place(one) in ranks]
        for group in by_data
    ]
    known = [group for group in placed if group]
    floor = mean([float(str(one.raw["floor"])) for one in found])
    return (
        *_mean_and_error(distances),
        *_mean_and_error(lost),
        *(_mean_and_error(known) if known else (None, None)),
        floor,
    )


def _mean_and_error(groups: Sequence[Sequence[float]]) -> tuple[float, float | None]:
    """The mean over the data sets of the means over seeds; the error is unknown where a data set has one."""
    errors = [error(group) for group in groups]
    known = [one for one in errors if one is not None]
    middle, spread = mean_of_rates([mean(group) for group in groups], known or [0.0] * len(groups))
    return middle, spread if len(known) == len(groups) else None


def _place(one: Measured) -> Place:
    return one.cell.arm["formulation"], one.cell.arm["data"], one.cell.arm["seed"]


def _distance(one: Measured, steps: int) -> float:
    distances = one.raw["distances"]
    assert isinstance(distances, Mapping)
    return float(str(distances[str(steps)]))


def _trained(cell: Cell, engine: Engine) -> Raw:
    """Train one network and measure its samples; no model of the engine is asked."""
    import torch

    from sd3demo.flow.sliced_wasserstein import sliced_wasserstein
    from sd3demo.training.formulations import FORMULATIONS, sample_formulation, train_formulation
    from sd3demo.training.toy_data import POINTS as DATA

    given = cell.given
    seed, budgets = given["seed"], given["budgets"]
    assert isinstance(seed, int)
    assert isinstance(budgets, Sequence)
    formulation, data = FORMULATIONS[str(given["formulation"])], DATA[str(given["data"])]
    network = train_formulation(formulation, data, steps=int(str(given["training_steps"])), seed=seed)
    generator = torch.Generator().manual_seed(seed + SAMPLED)
    noise = torch.randn((POINTS, 2), generator=generator)
    known, fresh = data(POINTS, generator), data(POINTS, generator)
    samples = {str(k): sample_formulation(formulation, network, noise, int(str(k))) for k in budgets}
    return {
        "distances": {k: sliced_wasserstein(points, known) for k, points in samples.items()},
        "floor": sliced_wasserstein(fresh, known),
    }


PLANE_FLOW = Measurement("plane-flow", 1, _trained)

STUDY = Study(Race, models, cells, table, charts=("race-steps", "race-ranks"))
