"""A grid: two settings of a request varied against each other, each cell a picture. It knows no page.

Any setting that is a number or a choice can lie along a side. Cells with the same settings are made once; all
of one model run as a batch, which shares network calls and texts.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sd3demo.engine import Plan
from sd3demo.engine.events import BatchEvent, Encoded, Finished, Loading, StepDone, Stopped
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Request, bounds_of, choices_of, identity

MOST_CELLS = 64
AXES = tuple(
    name
    for name, field in Request.model_fields.items()
    if name == "model" or (name != "count" and (bounds_of(field) or choices_of(field)))
)
"""The settings that can vary: all that are numbers or choices, and the model, for its depth."""

MakePlan: TypeAlias = Callable[[Mapping[str, object]], Plan]
RunBatch: TypeAlias = Callable[[Sequence[Plan]], Generator[BatchEvent, None, None]]


@dataclass(frozen=True)
class GridAxis:
    """A setting and the values that it takes, as they were typed."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """What is varied: `x` from left to right, `y` from top to bottom; one row where there is none."""

    x: GridAxis
    y: GridAxis | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        return self.y.values if self.y else ("",)

    @property
    def count(self) -> int:
        return len(self.x.values) * len(self.rows)

    def settings(self, cell: int) -> dict[str, object]:
        """What a cell sets; cells are counted row by row."""
        row, column = divmod(cell, len(self.x.values))
        down = {self.y.name: self.y.values[row]} if self.y else {}
        return {**down, self.x.name: self.x.values[column]}


@dataclass(frozen=True)
class GridPlan:
    """The plans of a grid, each once; `places` says for each cell which of them it shows."""

    grid: Grid
    plans: tuple[Plan, ...]
    places: tuple[int, ...]

    def cells(self, place: int) -> tuple[int, ...]:
        """Return the cells that show a picture."""
        return tuple(cell for cell, shown in enumerate(self.places) if shown == place)


@dataclass(frozen=True)
class GridLoading:
    """The model is loading, or the texts are being encoded."""

    event: Loading | Encoded


@dataclass(frozen=True)
class GridStep:
    """A step of a picture; `done` of `count` pictures are finished."""

    cells: tuple[int, ...]
    event: StepDone
    done: int
    count: int


@dataclass(frozen=True)
class GridPicture:
    """A finished picture."""

    cells: tuple[int, ...]
    plan: Plan
    finished: Finished
    done: int
    count: int


GridEvent: TypeAlias = GridLoading | GridStep | GridPicture


def axis(text: str) -> GridAxis:
    """Parse `cfg=1,2,4`. Raises Refusal for what cannot vary; values are checked with their cells."""
    name, sign, values = text.partition("=")
    name = name.strip().replace("-", "_")
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if not sign or not found:
        raise Refusal(f"{text!r} is no axis; give a setting and its values, such as cfg=1,2,4")
    return check_axis(GridAxis(name, found))


def check_axis(one: GridAxis) -> GridAxis:
    """Return the axis. Raises Refusal for a setting that cannot vary, no values, or one value twice."""
    if one.name not in AXES:
        raise Refusal(f"unknown axis {one.name!r}; choose one of {', '.join(AXES)}")
    if not one.values:
        raise Refusal(f"{one.name} has no values along its axis; give some, such as 1,2,4")
    if len(one.values) > MOST_CELLS:
        raise Refusal(f"{one.name} has {len(one.values)} values along its axis; at most {MOST_CELLS} can be")
    twice = [value for value in one.values if one.values.count(value) > 1]
    if twice:
        raise Refusal(f"{one.name} is {twice[0]} twice along its axis; give each value once")
    return one


def plan_grid(grid: Grid, base: Mapping[str, object], make_plan: MakePlan) -> GridPlan:
    """Return the plans of a grid over these settings. Raises Refusal for the first cell that cannot be."""
    if grid.y and grid.y.name == grid.x.name:
        raise Refusal(f"{grid.x.name} is on both sides of the grid; choose another setting for one of them")
    if grid.count > MOST_CELLS:
        raise Refusal(f"the grid has {grid.count} cells; at most {MOST_CELLS} can be made: give fewer values")
    if str(base.get("count", 1)) not in ("1", "1.0"):
        raise Refusal(f"count is {base['count']}; a grid has one picture a cell: leave it at 1")
    found: dict[str, int] = {}
    plans: list[Plan] = []
    places: list[int] = []
    for cell in range(grid.count):
        grid_plan = make_plan({**base, **grid.settings(cell)})
        key = identity(grid_plan.request)
        if key not in found:
            found[key] = len(plans)
            plans.append(grid_plan)
        places.append(found[key])
    return GridPlan(grid, tuple(plans), tuple(places))


def run(grid_plan: GridPlan, run_batch: RunBatch) -> Generator[GridEvent, None, None]:
    """Yield the steps and the finished pictures. To stop, close the generator.

    Raises Failure where the engine was stopped by somebody else.
    """
    done, count = 0, len(grid_plan.plans)
    for group in groups(grid_plan.plans):
        for batch_event in _closing(run_batch([grid_plan.plans[place] for place in group])):
            place = group[batch_event.run]
            match batch_event.event:
                case Loading() | Encoded():
                    yield GridLoading(batch_event.event)
                case StepDone():
                    yield GridStep(grid_plan.cells(place), batch_event.event, done, count)
                case Finished():
                    done += 1
                    yield GridPicture(
                        grid_plan.cells(place), grid_plan.plans[place], batch_event.event, done, count
                    )
                case Stopped():
                    raise Failure("the grid stopped before it was finished")


def groups(plans: Sequence[Plan]) -> list[list[int]]:
    """Return the places of plans that can form a batch: of one model in one place, asked in one way."""
    found: dict[tuple[object, ...], list[int]] = {}
    for place, plan in enumerate(plans):
        stage = plan.flow_stages[0]
        asked = (stage.skip_layers, stage.embedded)
        read = (plan.request.precision, plan.spec.large_encoder)
        key = (plan.spec.name, read, plan.placement, asked)
        found.setdefault(key, []).append(place)
    return list(found.values())


def one_by_one(
    run: Callable[[Plan], Generator],
) -> RunBatch:
    """Return a batch function that runs the plans one after another, with the same events."""

    def run_batch(plans: Sequence[Plan]) -> Generator[BatchEvent, None, None]:
        for place, plan in enumerate(plans):
            yield from (BatchEvent(place, event) for event in _closing(run(plan)))

    return run_batch


def names(grid: Grid) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels of the columns and of the rows."""
    across = tuple(f"{grid.x.name} {value}" for value in grid.x.values)
    down = tuple(f"{grid.y.name} {value}" for value in grid.y.values) if grid.y else ("",)
    return across, down


def described(grid: Grid) -> str:
    """Return a description of a grid in a few words."""
    sides = [side for side in (grid.x, grid.y) if side]
    return " by ".join(f"{side.name} ({', '.join(side.values)})" for side in sides)


def _closing(events: Generator) -> Generator:
    """Yield the same events; closing this closes their source."""
    try:
        yield from events
    finally:
        events.close()
