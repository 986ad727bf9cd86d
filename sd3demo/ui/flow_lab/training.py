"""What the flow lab streams while a flow in the plane is trained, reflowed and walked: pure but for torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, Shift, counted, parse
from sd3demo.ui.densities.settings import DensitySettings, Location, ModeScale, Named, Scale, density
from sd3demo.ui.flow_lab.particles import COUNTS, FlowSide, particles_html, stops_of
from sd3demo.ui.run.run_status import RunStatus, finished, running

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart, Numbers
    from sd3demo.training.toy_data import Points
    from sd3demo.training.toy_flow import Flow, Lesson, Pairs
    from sd3demo.training.toy_flow_file import LossHistory

SHOWN, FOLLOWED, MEASURED = 500, 240, 512
"""Points of the data that are drawn, particles that move, and paths that are measured."""
REFERENCE = 4000  # points of the data by which samples are told to lie on or off them
ON = 0.99  # of the data's own points lie as near to the others as a sample that counts as on them
PAUSE = 1.5  # seconds between two pictures of a training: a slow browser takes one to draw them
SEED = 7
NO_REFLOW = "Press Reflow: the flow is trained again on its own pairs."


class FlowSettings(Settings):
    """Everything that decides how a flow in the plane comes out, but the data."""

    density: Named = Field("logit-normal", description="How often each time is trained.")
    m: Location = Field(0.0, description="Location of the logit-normal.")
    s: Scale = Field(1.0, description="Scale of the logit-normal.")
    mode_s: ModeScale = Field(1.29, description="Scale of mode sampling.")
    shift: Shift = Field(1.0, description="α of eq. 23, for the times of the training; 1 is none.")
    steps: int = Field(1500, ge=100, le=5000, description="Of the training, 1024 points each.")


@dataclass(frozen=True, eq=False)
class TrainedFlow:
    """A flow with the settings and the data that it came from.

    `rounds` counts its reflows, and `before` is the network before the last of them.
    """

    network: Flow
    settings: FlowSettings
    data: str
    points: Points
    losses: LossHistory | None = None
    rounds: int = 0
    before: Flow | None = None


@dataclass(frozen=True, eq=False)
class TrainingView:
    """What the page shows: particles as HTML, and charts by name where they are new."""

    status: RunStatus
    figures: str
    particles: str
    charts: dict[str, Chart]
    flow: TrainedFlow | None = None
    """At the end alone."""


@dataclass(frozen=True)
class FlowFigures:
    """What is measured of a network: lengths of its paths, and the share of its samples off the data."""

    length: float
    chord: float
    straightness: float
    off: float


def points_of(name: str, ink: NDArray[np.float64] | None) -> Points:
    """The data of a name; a drawing for 'drawn'. Raises Refusal for an empty drawing or an unknown name."""
    from sd3demo.training.toy_data import POINTS, drawn

    if name == "drawn":
        return drawn(np.zeros((1, 1)) if ink is None else ink)
    if name not in POINTS:
        raise Refusal(f"unknown data {name!r}; choose one of {', '.join(POINTS)}, drawn")
    return POINTS[name]


def shipped_flow(data: str) -> TrainedFlow | None:
    """The flow of these data that comes with the package, after one round of reflow; None without one."""
    from sd3demo.training.toy_flow_file import shipped_pair

    pair = shipped_pair(data)
    if pair is None:
        return None
    settings = parse(FlowSettings, pair.settings)
    return TrainedFlow(pair.reflowed, settings, data, points_of(data, None), pair.losses, 1, pair.trained)


def flow_of(data: str, kept: TrainedFlow | None) -> TrainedFlow | None:
    """A visitor's own flow of these data, else the one that comes with the package."""
    return kept if kept is not None and kept.data == data else shipped_flow(data)


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
    flow = replace(before, network=network, rounds=before.rounds + 1, before=before.network)
    yield from _train(flow, reflowed(before.network))


def _train(flow: TrainedFlow, pairs: Pairs) -> Generator[TrainingView, None, None]:
    from sd3demo.flow.densities import Shifted
    from sd3demo.training.toy_flow import train
    from sd3demo.training.toy_flow_file import LossHistory

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
            now = replace(flow, losses=LossHistory(tuple(steps), tuple(values), first, lesson.by_t))
            if last:
                yield finished_view(now, finished(f"{counted(lesson.count, 'training step')} done."))
            else:
                yield _forming_view(now, lesson)


def _forming_view(flow: TrainedFlow, lesson: Lesson) -> TrainingView:
    """The particles of a flow that is being trained, and its losses so far."""
    where = f"Step {lesson.step} of {lesson.count}"
    status = running(where, step=lesson.step, count=lesson.count)
    sides = [_side(flow.network, _title(flow.rounds), where)]
    if flow.before is not None:
        sides.insert(0, _side(flow.before, _title(flow.rounds - 1), "before this round"))
    return TrainingView(status, "", particles_html(sides, _data(flow), live=True), loss_charts(flow))


def finished_view(flow: TrainedFlow, status: RunStatus) -> TrainingView:
    """The particles of a flow before and after reflow, its losses, and what was measured of it."""
    after = figures_of(flow, flow.network)
    before = None if flow.before is None else figures_of(flow, flow.before)
    if flow.before is None or before is None:
        sides = [_side(flow.network, _title(0), _note(after)), FlowSide(_title(1), NO_REFLOW, {})]
    else:
        sides = [
            _side(flow.before, _title(flow.rounds - 1), _note(before)),
            _side(flow.network, _title(flow.rounds), _note(after)),
        ]
    charts = loss_charts(flow) | {"trajectories": path_chart(sides)}
    figures = figures_html(flow, after, before)
    return TrainingView(status, figures, particles_html(sides, _data(flow)), charts, flow)


def loss_charts(flow: TrainedFlow) -> dict[str, Chart]:
    """The losses of the training, by name; of a flow that ships those before its reflow."""
    from sd3demo.plots import plane as plots

    losses = flow.losses
    if losses is None:
        return {}
    charts = (
        plots.losses(losses.steps, losses.values),
        plots.losses_by_t(losses.first, losses.last, *_parts(flow, len(losses.last))),
    )
    return {one.name: one for one in charts}


def path_chart(sides: Sequence[FlowSide]) -> Chart:
    """All paths of many steps, as numbers to be saved."""
    from sd3demo.plots import plane as plots

    return plots.trajectories({side.title: side.paths[COUNTS[-1]] for side in sides if side.paths})


def _data(flow: TrainedFlow) -> Numbers:
    import torch

    points = flow.points(SHOWN, torch.Generator().manual_seed(SEED))
    return np.asarray(points.double().numpy())


def _side(network: Flow, title: str, note: str) -> FlowSide:
    import torch

    from sd3demo.training.toy_flow import walk

    noise = torch.randn((FOLLOWED, 2), generator=torch.Generator().manual_seed(SEED))
    return FlowSide(title, note, {count: stops_of(walk(network, noise, count)) for count in COUNTS})


def _title(rounds: int) -> str:
    if rounds == 0:
        return "Before reflow"
    return "After reflow" if rounds == 1 else f"After {rounds} rounds of reflow"


def _note(figures: FlowFigures) -> str:
    return f"straightness {figures.straightness:.2f}"


def figures_of(flow: TrainedFlow, network: Flow) -> FlowFigures:
    """What is measured of one of a flow's networks, from the same noise and over 50 Euler steps."""
    import torch

    from sd3demo.training.toy_flow import measured, share_off, walk

    noise = torch.randn((MEASURED, 2), generator=torch.Generator().manual_seed(SEED))
    paths = measured(network, noise)
    ends = walk(network, noise, COUNTS[-1])[-1].x_next
    length, chord, straightness = (
        float(each.mean()) for each in (paths.length, paths.chord, paths.straightness)
    )
    return FlowFigures(length, chord, straightness, share_off(ends, flow.points))


def _parts(flow: TrainedFlow, levels: int) -> tuple[tuple[float, ...], ...]:
    """What of the loss cannot be learned and what is left to learn, where the data's flow is exact.

    After a reflow the pairs are others, and nothing is known of them.
    """
    from sd3demo.training.loss_split import split_loss
    from sd3demo.training.toy_data import EXACT

    if flow.rounds or flow.data not in EXACT:
        return ()
    split = split_loss(flow.network.velocity, EXACT[flow.data], [(k + 1) / levels for k in range(levels)])
    return split.irreducible, split.excess


def figures_html(flow: TrainedFlow, after: FlowFigures, before: FlowFigures | None) -> str:
    """The figures of a flow, beside them those before its last reflow and the optimum that is known."""

    def was(text: str) -> str:
        return f"{text}; before " if before else text

    def old(value: Callable[[FlowFigures], str]) -> str:
        return value(before) if before else ""

    rows = {
        "Straight": (
            f"{after.straightness:.3f}",
            was("1 is straight") + old(lambda one: f"{one.straightness:.3f}"),
        ),
        "Off the data": (
            f"{100 * after.off:.0f}%",
            was("of 50-step samples; 1% is ideal") + old(lambda one: f"{100 * one.off:.0f}%"),
        ),
        "Path": (f"{after.length:.2f}", was("mean length") + old(lambda one: f"{one.length:.2f}")),
    }
    if flow.data == "normal":
        rows["Optimum"] = (f"{optimum():.2f}", "shortest transport, exactly")
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    rounds = f"after {_rounds(flow.rounds)} of reflow" if flow.rounds else "as trained"
    steps = counted(flow.settings.steps, "training step")
    return f'<dl class="figures">{items}</dl><p class="caption">{steps}, {rounds}.</p>'


def _rounds(number: int) -> str:
    return "one round" if number == 1 else f"{number} rounds"


def optimum() -> float:
    """The mean length of the optimal transport from the noise that is measured to the normal data.

    Between two normal distributions with parallel axes it is the affine map that the exact flow ends in too.
    """
    import torch

    from sd3demo.training.toy_data import NORMAL

    noise = torch.randn((MEASURED, 2), generator=torch.Generator().manual_seed(SEED))
    return float((NORMAL.transport(noise, 1.0, 0.0) - noise).norm(dim=1).mean())
