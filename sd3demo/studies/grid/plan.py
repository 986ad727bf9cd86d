"""A grid: two settings of a request varied against each other, each cell a picture. It knows no page.

Any setting that is a number or a choice can lie along a side. Cells that come to the same settings are made
once; all that ask one model go abreast and share their network calls (`engine.together`), their texts and
what else is equal.
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

Prepare: TypeAlias = Callable[[Mapping[str, object]], Plan]
Together: TypeAlias = Callable[[Sequence[Plan]], Generator[BatchEvent, None, None]]


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
class Planned:
    """The plans of a grid, each made once; `places` says for each cell which of them it shows."""

    grid: Grid
    plans: tuple[Plan, ...]
    places: tuple[int, ...]

    def cells(self, place: int) -> tuple[int, ...]:
        """The cells that show a picture."""
        return tuple(cell for cell, shown in enumerate(self.places) if shown == place)


@dataclass(frozen=True)
class Waiting:
    """The model is being read, or its texts are."""

    event: Loading | Encoded


@dataclass(frozen=True)
class Forming:
    """A picture went on by a step; `done` of `count` pictures are finished."""

    cells: tuple[int, ...]
    event: StepDone
    done: int
    count: int


@dataclass(frozen=True)
class Done:
    """A picture is finished."""

    cells: tuple[int, ...]
    plan: Plan
    finished: Finished
    done: int
    count: int


News: TypeAlias = Waiting | Forming | Done


def axis(text: str) -> GridAxis:
    """`cfg=1,2,4` as an axis. Raises Refusal for what cannot vary; values are checked with their cells."""
    name, sign, values = text.partition("=")
    name = name.strip().replace("-", "_")
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if not sign or not found:
        raise Refusal(f"{text!r} is no axis; give a setting and its values, such as cfg=1,2,4")
    return checked(GridAxis(name, found))


def checked(one: GridAxis) -> GridAxis:
    """The same axis. Raises Refusal for a setting that cannot vary, no values, or one value twice."""
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


def planned(grid: Grid, base: Mapping[str, object], prepare: Prepare) -> Planned:
    """What a grid over these settings will do. Raises Refusal for the first cell that cannot be made."""
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
        made = prepare({**base, **grid.settings(cell)})
        key = identity(made.request)
        if key not in found:
            found[key] = len(plans)
            plans.append(made)
        places.append(found[key])
    return Planned(grid, tuple(plans), tuple(places))


def run(made: Planned, together: Together) -> Generator[News, None, None]:
    """The pictures as they form and as they are finished. To stop, close the generator.

    Raises Failure where the engine was stopped by somebody else.
    """
    done, count = 0, len(made.plans)
    for group in groups(made.plans):
        for of in _closing(together([made.plans[place] for place in group])):
            place = group[of.run]
            match of.event:
                case Loading() | Encoded():
                    yield Waiting(of.event)
                case StepDone():
                    yield Forming(made.cells(place), of.event, done, count)
                case Finished():
                    done += 1
                    yield Done(made.cells(place), made.plans[place], of.event, done, count)
                case Stopped():
                    raise Failure("the grid stopped before it was finished")


def groups(plans: Sequence[Plan]) -> list[list[int]]:
    """The places of plans that can go together: of one model, in one precision and one placement."""
    found: dict[tuple[object, ...], list[int]] = {}
    for place, plan in enumerate(plans):
        key = (plan.spec.name, plan.request.precision, plan.placement)
        found.setdefault(key, []).append(place)
    return list(found.values())


def one_by_one(
    run: Callable[[Plan], Generator],
) -> Together:
    """The same for a run of single plans: nothing is shared, the news are the same."""

    def together(plans: Sequence[Plan]) -> Generator[BatchEvent, None, None]:
        for place, plan in enumerate(plans):
            yield from (BatchEvent(place, event) for event in _closing(run(plan)))

    return together


def names(grid: Grid) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels of the columns and of the rows."""
    across = tuple(f"{grid.x.name} {value}" for value in grid.x.values)
    down = tuple(f"{grid.y.name} {value}" for value in grid.y.values) if grid.y else ("",)
    return across, down


def described(grid: Grid) -> str:
    """A grid in a few words."""
    sides = [side for side in (grid.x, grid.y) if side]
    return " by ".join(f"{side.name} ({', '.join(side.values)})" for side in sides)


def _closing(news: Generator) -> Generator:
    """The same news; closing this closes their source."""
    try:
        yield from news
    finally:
        news.close()
