"""What the flow lab streams while a flow in the plane is trained, reflowed and walked: pure but for torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, Shift, parse
from sd3demo.ui.densities.settings import Lab, Location, ModeScale, Named, Scale, density
from sd3demo.ui.run import status as words

if TYPE_CHECKING:
    from torch import Tensor

    from sd3demo.flow.path.lengths import PathLength
    from sd3demo.plots.chart import Chart
    from sd3demo.training.toy_data import Points
    from sd3demo.training.toy_flow import Flow, Lesson, Pairs

STEPS = (1, 2, 5, 50)
"""Of the samplers whose samples are shown."""
SHOWN, FOLLOWED, MEASURED = 700, 60, 512  # points of a cloud, paths that are drawn, paths that are measured
PAUSE = 0.4  # seconds between two pictures of a training
SEED = 7


class Course(Settings):
    """Everything that decides how a flow in the plane comes out, but the data."""

    density: Named = Field("logit-normal", description="How often each time is trained.")
    m: Location = Field(0.0, description="Location of the logit-normal.")
    s: Scale = Field(1.0, description="Scale of the logit-normal.")
    mode_s: ModeScale = Field(1.29, description="Scale of mode sampling.")
    shift: Shift = Field(1.0, description="α of eq. 23, for the times of the training; 1 is none.")
    steps: int = Field(1500, ge=100, le=5000, description="Of the training, 256 points each.")


@dataclass(frozen=True, eq=False)
class Trained:
    """A flow with the settings and the data that it came from; `rounds` counts its reflows."""

    flow: Flow
    course: Course
    data: str
    points: Points
    rounds: int = 0


@dataclass(frozen=True, eq=False)
class Scene:
    """What the page shows: charts by name where they are new."""

    status: str
    figures: str
    charts: dict[str, Chart]
    trained: Trained | None = None
    """At the end alone."""


def chosen(name: str, ink: NDArray[np.float64] | None) -> Points:
    """The data of a name; a drawing for 'drawn'. Raises Refusal for an empty sheet or an unknown name."""
    from sd3demo.training.toy_data import POINTS, drawn

    if name == "drawn":
        return drawn(np.zeros((1, 1)) if ink is None else ink)
    if name not in POINTS:
        raise Refusal(f"unknown data {name!r}; choose one of {', '.join(POINTS)}, drawn")
    return POINTS[name]


def trained(course: Course, data: str, points: Points) -> Iterator[Scene]:
    """A new flow, from its first step to its measured paths."""
    from sd3demo.training.toy_flow import Flow, independent

    yield from _taught(Trained(Flow(), course, data, points), independent(points))


def straightened(before: Trained | None) -> Iterator[Scene]:
    """One round of reflow. Raises Refusal when there is no flow yet."""
    from sd3demo.training.toy_flow import Flow, reflowed

    if before is None:
        raise Refusal("no flow is trained yet; press Train first")
    flow = Flow()
    flow.load_state_dict(before.flow.state_dict())
    yield from _taught(replace(before, flow=flow, rounds=before.rounds + 1), reflowed(before.flow))


def _taught(made: Trained, pairs: Pairs) -> Iterator[Scene]:
    from sd3demo.flow.densities import Shifted
    from sd3demo.training.toy_flow import train

    lab = parse(Lab, made.course.model_dump(include={"m", "s", "mode_s"}))
    times = Shifted(density(lab, made.course.density), made.course.shift)
    steps: list[int] = []
    values: list[float] = []
    first: tuple[float, ...] = ()
    drawn_at = 0.0
    for lesson in train(made.flow, pairs, times, steps=made.course.steps):
        steps.append(lesson.step)
        values.append(lesson.loss)
        first = first or lesson.by_t
        last = lesson.step == lesson.count
        if last or time.monotonic() - drawn_at > PAUSE:
            drawn_at = time.monotonic()
            yield _scene(made, lesson, steps, values, first, last)


def _scene(
    made: Trained, lesson: Lesson, steps: list[int], values: list[float], first: tuple[float, ...], last: bool
) -> Scene:
    """Losses and paths at every picture; the samplers' clouds and the lengths at the end."""
    import torch

    from sd3demo.plots import plane as plots
    from sd3demo.training.toy_flow import measured, walk

    noise = torch.randn((MEASURED, 2), generator=torch.Generator().manual_seed(SEED))
    title = "Paths after reflow" if made.rounds else "Paths"
    charts = [
        plots.losses(steps, values),
        plots.losses_by_t(first, lesson.by_t),
        plots.trajectories(walk(made.flow, noise[:FOLLOWED], 20), title),
    ]
    if not last:
        bar = words.bar(lesson.step, lesson.count, f"Step {lesson.step} of {lesson.count}")
        return Scene(bar, "", {one.name: one for one in charts})
    data = made.points(SHOWN, torch.Generator().manual_seed(SEED)).double().numpy()
    start = torch.randn((SHOWN, 2), generator=torch.Generator().manual_seed(SEED))
    for count in STEPS:
        charts.append(plots.cloud(data, walk(made.flow, start, count)[-1].x_next.double().numpy(), count))
    done = f'<p class="done" role="status">{lesson.count} steps of training done.</p>'
    return Scene(done, told(made, measured(made.flow, noise), noise), {one.name: one for one in charts}, made)


def told(made: Trained, paths: PathLength, noise: Tensor) -> str:
    """The lengths as figures; beside them the optimum where there is a closed form."""
    rows = {
        "Path": (f"{float(paths.length.mean()):.3f}", "mean, 50 Euler steps"),
        "Chord": (f"{float(paths.chord.mean()):.3f}", "noise to sample"),
        "Straight": (f"{float(paths.straightness.mean()):.3f}", "chord / path; 1 is straight"),
    }
    if made.data == "normal":
        rows["Optimum"] = (f"{optimum(noise):.3f}", "shortest transport, exactly")
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    rounds = f"after {_rounds(made.rounds)} of reflow" if made.rounds else "as trained"
    return f'<dl class="figures">{items}</dl><p class="caption">Lengths of the paths, {rounds}.</p>'


def _rounds(number: int) -> str:
    return "one round" if number == 1 else f"{number} rounds"


def optimum(noise: Tensor) -> float:
    """The mean length of the optimal transport from this noise to the normal data.

    Between two normal distributions with parallel axes it is the affine map that the exact flow ends in too.
    """
    from sd3demo.training.toy_data import NORMAL

    return float((NORMAL.transport(noise, 1.0, 0.0) - noise).norm(dim=1).mean())
