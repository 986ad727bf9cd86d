"""What the flow lab streams while a flow in the plane is trained, reflowed and walked: pure but for torch."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, Shift, parse
from sd3demo.ui.densities.settings import DensitySettings, Location, ModeScale, Named, Scale, density
from sd3demo.ui.run.run_status import RunStatus, finished, running

if TYPE_CHECKING:
    from torch import Tensor

    from sd3demo.flow.path.lengths import PathLength
    from sd3demo.plots.chart import Chart
    from sd3demo.training.toy_data import Points
    from sd3demo.training.toy_flow import Flow, Lesson, Pairs

STEPS = (1, 2, 5, 50)
"""Of the samplers whose samples are shown."""
SHOWN, FOLLOWED, MEASURED = 700, 60, 512  # points of a cloud, paths that are drawn, paths that are measured
PAUSE = 1.5  # seconds between two pictures of a training: a slow browser takes one to draw them
SEED = 7


class FlowSettings(Settings):
    """Everything that decides how a flow in the plane comes out, but the data."""

    density: Named = Field("logit-normal", description="How often each time is trained.")
    m: Location = Field(0.0, description="Location of the logit-normal.")
    s: Scale = Field(1.0, description="Scale of the logit-normal.")
    mode_s: ModeScale = Field(1.29, description="Scale of mode sampling.")
    shift: Shift = Field(1.0, description="α of eq. 23, for the times of the training; 1 is none.")
    steps: int = Field(1500, ge=100, le=5000, description="Of the training, 256 points each.")


@dataclass(frozen=True, eq=False)
class TrainedFlow:
    """A flow with the settings and the data that it came from; `rounds` counts its reflows."""

    network: Flow
    settings: FlowSettings
    data: str
    points: Points
    rounds: int = 0


@dataclass(frozen=True, eq=False)
class TrainingView:
    """What the page shows: charts by name where they are new."""

    status: RunStatus
    figures: str
    charts: dict[str, Chart]
    flow: TrainedFlow | None = None
    """At the end alone."""


def points_of(name: str, ink: NDArray[np.float64] | None) -> Points:
    """The data of a name; a drawing for 'drawn'. Raises Refusal for an empty drawing or an unknown name."""
    from sd3demo.training.toy_data import POINTS, drawn

    if name == "drawn":
        return drawn(np.zeros((1, 1)) if ink is None else ink)
    if name not in POINTS:
        raise Refusal(f"unknown data {name!r}; choose one of {', '.join(POINTS)}, drawn")
    return POINTS[name]


def train_flow(settings: FlowSettings, data: str, points: Points) -> Generator[TrainingView, None, None]:
    """A new flow, from its first step to its measured paths."""
    from sd3demo.training.toy_flow import Flow, independent

    yield from _train(TrainedFlow(Flow(), settings, data, points), independent(points))


def reflow_flow(before: TrainedFlow | None) -> Generator[TrainingView, None, None]:
    """One round of reflow. Raises Refusal when there is no flow yet."""
    from sd3demo.training.toy_flow import Flow, reflowed

    if before is None:
        raise Refusal("no flow is trained yet; press Train first")
    network = Flow()
    network.load_state_dict(before.network.state_dict())
    yield from _train(replace(before, network=network, rounds=before.rounds + 1), reflowed(before.network))


def _train(flow: TrainedFlow, pairs: Pairs) -> Generator[TrainingView, None, None]:
    from sd3demo.flow.densities import Shifted
    from sd3demo.training.toy_flow import train

    lab = parse(DensitySettings, flow.settings.model_dump(include={"m", "s", "mode_s"}))
    times = Shifted(density(lab, flow.settings.density), flow.settings.shift)
    steps: list[int] = []
    values: list[float] = []
    first: tuple[float, ...] = ()
    drawn_at = 0.0
    for lesson in train(flow.network, pairs, times, steps=flow.settings.steps):
        steps.append(lesson.step)
        values.append(lesson.loss)
        first = first or lesson.by_t
        last = lesson.step == lesson.count
        if last or time.monotonic() - drawn_at > PAUSE:
            drawn_at = time.monotonic()
            yield _view(flow, lesson, steps, values, first, last)


def _view(
    flow: TrainedFlow,
    lesson: Lesson,
    steps: list[int],
    values: list[float],
    first: tuple[float, ...],
    last: bool,
) -> TrainingView:
    """Losses and paths at every picture; the samplers' clouds and the lengths at the end."""
    import torch

    from sd3demo.plots import plane as plots
    from sd3demo.training.toy_flow import measured, walk

    noise = torch.randn((MEASURED, 2), generator=torch.Generator().manual_seed(SEED))
    title = "Paths after reflow" if flow.rounds else "Paths"
    charts = [
        plots.losses(steps, values),
        plots.losses_by_t(first, lesson.by_t, *_parts(flow, lesson)),
        plots.trajectories(walk(flow.network, noise[:FOLLOWED], 20), title),
    ]
    if not last:
        status = running(f"Step {lesson.step} of {lesson.count}", step=lesson.step, count=lesson.count)
        return TrainingView(status, "", {one.name: one for one in charts})
    data = flow.points(SHOWN, torch.Generator().manual_seed(SEED)).double().numpy()
    start = torch.randn((SHOWN, 2), generator=torch.Generator().manual_seed(SEED))
    for count in STEPS:
        charts.append(plots.cloud(data, walk(flow.network, start, count)[-1].x_next.double().numpy(), count))
    done = finished(f"{lesson.count} training steps done.")
    return TrainingView(
        done,
        lengths_html(flow, measured(flow.network, noise), noise),
        {one.name: one for one in charts},
        flow,
    )


def _parts(flow: TrainedFlow, lesson: Lesson) -> tuple[tuple[float, ...], ...]:
    """What of the loss cannot be learned and what is left to learn, where the data's flow is exact.

    After a reflow the pairs are others, and nothing is known of them.
    """
    from sd3demo.training.loss_split import split_loss
    from sd3demo.training.toy_data import EXACT

    if flow.rounds or flow.data not in EXACT:
        return ()
    levels = [(k + 1) / len(lesson.by_t) for k in range(len(lesson.by_t))]
    split = split_loss(flow.network.velocity, EXACT[flow.data], levels)
    return split.irreducible, split.excess


def lengths_html(flow: TrainedFlow, paths: PathLength, noise: Tensor) -> str:
    """The lengths as figures; beside them the optimum where there is a closed form."""
    rows = {
        "Path": (f"{float(paths.length.mean()):.3f}", "mean, 50 Euler steps"),
        "Chord": (f"{float(paths.chord.mean()):.3f}", "noise to sample"),
        "Straight": (f"{float(paths.straightness.mean()):.3f}", "chord / path; 1 is straight"),
    }
    if flow.data == "normal":
        rows["Optimum"] = (f"{optimum(noise):.3f}", "shortest transport, exactly")
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    rounds = f"after {_rounds(flow.rounds)} of reflow" if flow.rounds else "as trained"
    return f'<dl class="figures">{items}</dl><p class="caption">Lengths of the paths, {rounds}.</p>'


def _rounds(number: int) -> str:
    return "one round" if number == 1 else f"{number} rounds"


def optimum(noise: Tensor) -> float:
    """The mean length of the optimal transport from this noise to the normal data.

    Between two normal distributions with parallel axes it is the affine map that the exact flow ends in too.
    """
    from sd3demo.training.toy_data import NORMAL

    return float((NORMAL.transport(noise, 1.0, 0.0) - noise).norm(dim=1).mean())
