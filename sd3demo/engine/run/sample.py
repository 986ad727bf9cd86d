"""One run of the solver, at one size: the field that its stage asks for, step by step."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sd3demo.engine.events import Event, Record, StageStarted, StepDone, Stopped
from sd3demo.engine.plan.stages import Stage
from sd3demo.engine.record.context import RecorderContext, scene_of
from sd3demo.engine.record.recorders import RECORDERS, BranchRecorder, CorrectionRecorder, Recorder
from sd3demo.engine.run.noise import initial_noise
from sd3demo.engine.run.state import RunState, Trajectory
from sd3demo.errors import Failure
from sd3demo.flow.extrapolation.lowpass import low_pass_named
from sd3demo.flow.extrapolation.methods import MethodInputs
from sd3demo.flow.extrapolation.projection import Correction
from sd3demo.flow.extrapolation.strengths import strength_of
from sd3demo.flow.guidance import Branch, Branches, guided
from sd3demo.flow.solvers import SOLVERS, At, Step, Velocity
from sd3demo.models.protocol import Dials


@dataclass(frozen=True, eq=False)
class SampledLatents:
    """What a run of the solver leaves, for all pictures of the batch."""

    latent: Tensor  # (B, C, H, W)
    noise: Tensor
    calls: int
    records: dict[str, Record]
    words: tuple[tuple[str, str], ...]


class CountedBranches:
    """Branches that count how often the network is evaluated: two branches in one call count two."""

    def __init__(self, branches: Branches) -> None:
        self._branches = branches
        self.calls = 0

    def __call__(self, x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]:
        self.calls += len(wanted)
        return self._branches(x, at, wanted)


def flow(course: RunState, stage: Stage) -> Generator[Event, None, SampledLatents | None]:
    """The events of a stage; returns what it leaves, or None where it was stopped."""
    plan, ready = course.plan, course.ready
    yield StageStarted(stage.key, stage.width, stage.height, stage.sigmas)
    scene = scene_of(plan, ready.model, ready.preview, course.conditionings["conditional"])
    if stage.request is not None:
        scene = RecorderContext(
            ready.preview
        )  # attention is told of at the native size, where the network is as it was
    recorders = {name: RECORDERS[name](scene) for name in {"lengths": 0} | dict.fromkeys(plan.recorders)}
    watchers: list[Callable[[Step], None]] = [*recorders.values(), *course.extra]
    if any(stage.key in other.needs and other.kind == "flow" for other in plan.stages):
        course.trajectories[stage.key] = Trajectory()
        watchers.append(course.trajectories[stage.key])

    noise = initial_noise(plan.seeds, ready.model.spec, stage)
    counted: list[CountedBranches] = []
    velocity, x = _field(course, stage, noise.to(ready.device), recorders, counted)
    for step in SOLVERS[stage.solver](velocity, x, stage.sigmas, regime=stage.regime):
        x, at = step.x_next, step.at
        check(step)
        for watch in watchers:
            watch(step)
        previews = ready.preview(step.denoised)
        yield StepDone(stage.key, at.index, at.count, at.t, step.t_next, previews, course.clock.since())
        if course.stop():
            yield Stopped(stage.key, at.index + 1)
            return None
    records = {name: recorder.result() for name, recorder in recorders.items()}
    words = scene.words if "attention" in plan.recorders else ()
    return SampledLatents(x, noise, sum(each.calls for each in counted), records, words)


def _field(
    course: RunState,
    stage: Stage,
    noise: Tensor,
    recorders: dict[str, Recorder],
    counted: list[CountedBranches],
) -> tuple[Velocity, Tensor]:
    """The velocity that the solver integrates, and where it starts."""
    witnesses = [recorder.witness for recorder in recorders.values() if isinstance(recorder, BranchRecorder)]

    def network(dials: Dials) -> Branches:
        counted.append(CountedBranches(course.ready.model.branches(course.conditionings, dials)))
        return counted[-1]

    velocity = guided(network(Dials(stage.visits, stage.toolkit)), stage.guidance, witnesses)
    if stage.request is None:
        return velocity, noise

    large, method = stage.large, stage.method
    watching = [each for each in (*recorders.values(), *course.extra) if isinstance(each, CorrectionRecorder)]

    def watch(correction: Correction) -> None:
        for each in watching:
            each.correction(correction)

    lifts = [course.latents[key] for key in stage.needs if course.plan.stage(key).kind == "lift"]
    trajectories = [course.trajectories[key] for key in stage.needs if key in course.trajectories]
    native = velocity
    if stage.native_visits:
        native = guided(network(Dials(stage.native_visits)), stage.guidance)
    given = MethodInputs(
        velocity=velocity,
        guide=lifts[0] if lifts else noise,
        noise=noise,
        grid=stage.sigmas,
        low_pass=partial(low_pass_named, name=large.low_pass, level=stage.level, cutoff=stage.cutoff),
        strength=strength_of(large.strength),
        watch=watch,
        factor=round(stage.scale),
        native=native,
        predicted=partial(_predicted, trajectories, (noise.shape[-2], noise.shape[-1])),
    )
    t = stage.sigmas[0]
    start = noise if t == 1 else (1 - t) * given.guide + t * noise
    return method.field(given), start


def _predicted(trajectories: list[Trajectory], size: tuple[int, int], t: float) -> Tensor:
    return trajectories[0].at(t, size)


def check(step: Step) -> None:
    if not bool(torch.isfinite(step.x_next).all()):
        at = step.at
        raise Failure(
            f"the latent is not finite after step {at.index + 1} of {at.count} (t = {at.t:.3f}); "
            "try precision float32, more steps or a lower cfg"
        )
