"""A grid: two settings of a request varied against each other, each cell a picture. It knows no page.

Any setting that is a number or a choice can lie along a side, and so can the prompt, the negative prompt and
a word of the prompt: `replace=red,blue,green` puts each of the three where the first stands. Cells with the
same settings are made once; all of one model run as a batch, which shares network calls and texts.
"""

import csv
import io
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sd3demo.engine import Plan
from sd3demo.engine.events import BatchEvent, Encoded, Finished, Loading, StepDone, Stopped
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Request, bounds_of, choices_of, identity, quoted

MOST_CELLS = 64
LONGEST_LABEL = 40  # characters of a heading
REPLACE = "replace"
"""The axis of a word of the prompt: its values are the word and what takes its place."""
TEXTS = ("prompt", "negative")
NO_AXIS = ("count", "placement")
"""A cell has one picture, and where the weights lie changes none."""
AXES = (
    REPLACE,
    *(
        name
        for name, field in Request.model_fields.items()
        if name in (*TEXTS, "model") or (name not in NO_AXIS and (bounds_of(field) or choices_of(field)))
    ),
)
"""What can vary: a word of the prompt, both texts, all numbers and choices, and the model, for its depth."""

AXIS_HELP = (
    'a setting and its values, as in steps=4,8,28 or prompt="a cat, asleep",a dog; replace=red,blue,green '
    "puts each of them where the first stands in the prompt."
)
"""How an axis is written, for the help of whoever takes one."""

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

    def values(self, cell: int) -> tuple[tuple[GridAxis, str], ...]:
        """What a cell sets, that of `y` first; cells are counted row by row."""
        row, column = divmod(cell, len(self.x.values))
        down = ((self.y, self.y.values[row]),) if self.y else ()
        return (*down, (self.x, self.x.values[column]))

    def settings(self, cell: int, base: Mapping[str, object]) -> dict[str, object]:
        """The settings of a cell over these. Raises Refusal for a word that is not in the prompt."""
        found = dict(base)
        for axis, value in sorted(self.values(cell), key=lambda pair: pair[0].name == REPLACE):
            if axis.name == REPLACE:
                found["prompt"] = replaced(str(found.get("prompt") or ""), axis.values[0], value)
            else:
                found[axis.name] = value
        return found


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
    found = values_in(name, values)
    if not sign or not found:
        raise Refusal(f"{text!r} is no axis; give a setting and its values, such as cfg=1,2,4")
    return check_axis(GridAxis(name, found))


def values_in(name: str, text: str) -> tuple[str, ...]:
    """Return the values of an axis, separated by commas; one that has a comma stands in double quotes.

    An empty one counts where it means something: no negative prompt.
    """
    try:
        rows = list(csv.reader(text.splitlines() or [""], skipinitialspace=True))
    except csv.Error as error:
        raise Refusal(f"the values of {name} cannot be read: {error}; separate them by commas") from error
    values = [value.strip() for row in rows for value in row]
    return tuple(value for value in values if value or (name == "negative" and len(values) > 1))


def axis_text(one: GridAxis) -> str:
    """Return an axis as `axis` parses it."""
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(one.values)
    return f"{one.name}={file.getvalue()}"


def replaced(prompt: str, word: str, by: str) -> str:
    """Return the prompt with a word, or several, replaced. Raises Refusal where it is not in the prompt."""
    whole = rf"(?<!\w){re.escape(word)}(?!\w)"
    if not re.search(whole, prompt):
        raise Refusal(
            f"{REPLACE} looks for {quoted(word)}, which is not in the prompt {quoted(prompt)}; its first "
            "value must be a word of the prompt"
        )
    return re.sub(whole, lambda _: by, prompt)


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
    if grid.y and grid.y.name == grid.x.name and grid.x.name != REPLACE:
        raise Refusal(f"{grid.x.name} is on both sides of the grid; choose another setting for one of them")
    if grid.count > MOST_CELLS:
        raise Refusal(f"the grid has {grid.count} cells; at most {MOST_CELLS} can be made: give fewer values")
    if str(base.get("count", 1)) not in ("1", "1.0"):
        raise Refusal(f"count is {base['count']}; a grid has one picture a cell: leave it at 1")
    found: dict[str, int] = {}
    plans: list[Plan] = []
    places: list[int] = []
    for cell in range(grid.count):
        grid_plan = make_plan(grid.settings(cell, base))
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
    """Return the labels of the columns and of the rows; a prompt and a word speak for themselves."""

    def said(side: GridAxis) -> tuple[str, ...]:
        before = "" if side.name in (REPLACE, "prompt") else f"{side.name} "
        return tuple(before + _short(value) for value in side.values)

    return said(grid.x), said(grid.y) if grid.y else ("",)


def _short(value: str) -> str:
    """Return a value as a heading, cut where it is long."""
    return (
        value if 0 < len(value) <= LONGEST_LABEL else f"{value[: LONGEST_LABEL - 1]}…" if value else "empty"
    )


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
