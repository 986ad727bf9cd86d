"""The stages of a plan, one after another: each leaves its result under its key."""

import io
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sd3demo.engine.events import (
    ArmFinished,
    Event,
    Lifted,
    Paused,
    Record,
    StageStarted,
    StepDone,
    Stopped,
)
from sd3demo.engine.plan.stages import Arm, FlowStage, GivenStage, LiftStage, ResampleStage
from sd3demo.engine.plan.unread import unread_lists
from sd3demo.engine.record.recorder_context import RecorderContext, recorder_context
from sd3demo.engine.record.recorders import RECORDERS, BranchRecorder, CorrectionRecorder, Recorder
from sd3demo.engine.run.enlarging import given, lift, resample
from sd3demo.engine.run.image_start import ImageStart, image_start, pasted
from sd3demo.engine.run.noise import initial_noise, noise_hash
from sd3demo.engine.run.sample import CountedBranches, SharedCalls, integrate, start
from sd3demo.engine.run.state import RunState, Trajectory, pixels
from sd3demo.flow.extrapolation.lowpass import low_pass_named
from sd3demo.flow.extrapolation.methods import MethodInputs
from sd3demo.flow.extrapolation.projection import Correction
from sd3demo.flow.extrapolation.strengths import strength_of
from sd3demo.flow.guidance import Witness, guided
from sd3demo.flow.solvers import Step, Velocity
from sd3demo.models.branches import branches_of
from sd3demo.models.protocol import Dials


@dataclass(frozen=True, eq=False)
class SampledLatents:
    """What a run of the solver leaves, for all pictures of the batch."""

    latent: Tensor  # (B, C, h, w)
    noise: Tensor
    calls: int
    records: dict[str, Record]
    words: tuple[tuple[str, str], ...]


def execute(state: RunState) -> Generator[Event, None, dict[str, ArmFinished] | None]:
    """The events of all stages; returns the picture of each arm, or None where the run was stopped.

    A plain run has one arm, its own stage. The pictures of an extrapolation are told of as they are finished.
    """
    plan, timer = state.plan, state.timer
    last = plan.stages[-1].key
    arms = {arm.stage: arm for arm in plan.arms or (Arm(last, last, plan.request),)}
    sampled: dict[str, SampledLatents] = {}
    finished: dict[str, ArmFinished] = {}
    calls = _resume(state, sampled, finished) if state.results else 0  # counted from the picture before
    seconds = sum(timer.laps.values())
    for stage in plan.stages:
        if stage.key in state.latents or stage.key in state.images:
            continue  # before the pause
        if stage.key == state.until:
            yield Paused(stage.key, _results(state, sampled, finished, calls))
            return None
        if state.stop():
            yield Stopped(stage.key, 0)
            return None
        match stage:
            case FlowStage():
                latents = yield from _flow(state, stage)
                if latents is None:
                    return None
                sampled[stage.key] = latents
                calls += latents.calls
                _decode(state, stage, latents)
            case GivenStage():
                state.images[stage.key] = given(state, stage)
            case LiftStage():
                state.latents[stage.key] = lift(state, stage)
            case ResampleStage():
                state.images[stage.key] = resample(state, stage)
        if isinstance(stage, LiftStage | ResampleStage):
            timer.lap("decode")
            yield Lifted(stage.key, stage.width, stage.height)
        if stage.key in arms:
            now, arm = sum(timer.laps.values()), arms[stage.key]
            source = plan.flow_of(stage)
            result = _arm_finished(state, arm, source, sampled.get(source.key), calls, now - seconds)
            finished[arm.name] = result
            calls, seconds = 0, now
            if plan.arms:
                yield result
    return finished


def _results(
    state: RunState, sampled: dict[str, SampledLatents], finished: dict[str, ArmFinished], calls: int
) -> bytes:
    """What the stages so far have left, without a device: for another process of the same program."""
    file = io.BytesIO()
    kept = (state.latents, state.images, state.trajectories, state.timer.laps, sampled, finished, calls)
    torch.save(kept, file)
    return file.getvalue()


def _resume(state: RunState, sampled: dict[str, SampledLatents], finished: dict[str, ArmFinished]) -> int:
    """Take up what a run that paused has left; returns the calls since its last picture."""
    file, device = io.BytesIO(state.results), state.loaded.device
    # Pickled by this program for itself: nothing from outside comes here.
    kept = torch.load(file, map_location=device, weights_only=False)
    latents, images, trajectories, laps, before, arms, calls = kept
    state.latents.update(latents)
    state.images.update(images)
    state.trajectories.update(trajectories)
    for phase, seconds in laps.items():
        state.timer.laps[phase] = state.timer.laps.get(phase, 0.0) + seconds
    sampled.update(before)
    finished.update(arms)
    return int(calls)


def _flow(state: RunState, stage: FlowStage) -> Generator[Event, None, SampledLatents | None]:
    """The events of a run of the solver; returns its latents, or None where it was stopped."""
    plan, loaded = state.plan, state.loaded
    yield StageStarted(stage.key, stage.width, stage.height, stage.sigmas)
    context = RecorderContext(loaded.preview)
    if stage.request is None:  # attention is told of at the native size, where the network is as it was
        context = recorder_context(plan, loaded.model, loaded.preview, state.conditionings["conditional"])
    recorders = {name: RECORDERS[name](context) for name in {"lengths": 0} | dict.fromkeys(plan.recorders)}
    watchers: list[Callable[[Step], None]] = [*recorders.values(), *state.extra]
    if any(stage.key in other.needs for other in plan.flow_stages):
        state.trajectories[stage.key] = Trajectory()
        watchers.append(state.trajectories[stage.key])

    noise = initial_noise(plan.seeds, plan.spec, stage)
    x = noise.to(loaded.device)
    witnesses = [recorder.witness for recorder in recorders.values() if isinstance(recorder, BranchRecorder)]
    texts = list(state.conditionings.values())
    places = {branch: place for place, branch in enumerate(state.conditionings)}
    lengths = [text.length for text in texts]
    counted: list[CountedBranches] = []

    def branches(dials: Dials) -> CountedBranches:
        rows = loaded.model.network(texts, dials)
        counted.append(CountedBranches(branches_of(rows, places)))
        return counted[-1]

    calls: SharedCalls | None = None
    begun: ImageStart | None = None
    if stage.request is None:
        dials = Dials(stage.visits, skip_layers=stage.skip_layers, guidance=stage.embedded)
        calls = SharedCalls(loaded.model.network(texts, dials), lengths)
        if plan.init is not None:
            begun = image_start(plan.init, state.latents[stage.needs[0]], x)
            x = begun.at(stage.sigmas[0])
        run = start(0, stage, x, places, witnesses=witnesses, held=begun)
    else:
        velocity, x = _field(state, stage, x, branches, recorders, witnesses)
        run = start(0, stage, x, places, velocity=velocity)
    for _, step in integrate([run], calls, state.stop, share=False):
        x, at = step.x_next, step.at
        for watch in watchers:
            watch(step)
        previews = loaded.preview(step.denoised)
        yield StepDone(stage.key, at.index, at.count, at.t, step.t_next, previews, state.timer.since())
    if state.stop():
        yield Stopped(stage.key, run.done)
        return None
    x = x if begun is None else begun.latent(x, 0.0)
    records = {name: recorder.result() for name, recorder in recorders.items()}
    words = context.words if "attention" in plan.recorders else ()
    total = run.calls + sum(each.calls for each in counted)
    return SampledLatents(x, noise, total, records, words)


def _field(
    state: RunState,
    stage: FlowStage,
    noise: Tensor,
    branches: Callable[[Dials], CountedBranches],
    recorders: dict[str, Recorder],
    witnesses: list[Witness],
) -> tuple[Velocity, Tensor]:
    """The velocity of a larger stage, wrapped by its method, and the latent that it starts from."""
    dials = Dials(stage.visits, stage.toolkit, stage.skip_layers, stage.embedded)
    velocity = guided(branches(dials), stage.guidance, witnesses)
    native = velocity
    if stage.native_visits:
        native_guidance = stage.native_embedded
        plain = Dials(stage.native_visits, skip_layers=stage.skip_layers, guidance=native_guidance)
        native = guided(branches(plain), stage.guidance)
    large, method = stage.large, stage.method
    watching = [each for each in (*recorders.values(), *state.extra) if isinstance(each, CorrectionRecorder)]

    def watch(correction: Correction) -> None:
        for each in watching:
            each.correction(correction)

    lifts = [state.latents[key] for key in stage.needs if isinstance(state.plan.stage(key), LiftStage)]
    trajectories = [state.trajectories[key] for key in stage.needs if key in state.trajectories]
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
    start_latent = noise if t == 1 else (1 - t) * given.guide + t * noise
    return method.field(given), start_latent


def _predicted(trajectories: list[Trajectory], size: tuple[int, int], t: float) -> Tensor:
    return trajectories[0].at(t, size)


def _decode(state: RunState, stage: FlowStage, sampled: SampledLatents) -> None:
    """The pictures of a run of the solver, one by one, so that a batch needs no more memory than one."""
    state.timer.lap("flow")
    state.latents[stage.key] = sampled.latent
    to_image = state.loaded.model.to_image
    images = torch.cat([to_image(latent[None]) for latent in sampled.latent])
    if stage.request is None and state.plan.init is not None:
        images = pasted(images, state.plan.init)
    state.images[stage.key] = images
    state.timer.lap("decode")


def _arm_finished(
    state: RunState,
    arm: Arm,
    source: FlowStage | GivenStage,
    sampled: SampledLatents | None,
    calls: int,
    seconds: float,
) -> ArmFinished:
    """What is told of a picture; a given one has no noise and no path, nor has it resampled."""
    records = {} if sampled is None else sampled.records
    length, chord = records["lengths"].tolist() if records else ((), ())
    return ArmFinished(
        arm=arm.name,
        stage=source.key,
        pictures=tuple(pixels(image) for image in state.images[arm.stage]),
        sigmas=source.sigmas if isinstance(source, FlowStage) else (),
        calls=calls,
        path_length=tuple(length),
        chord=tuple(chord),
        noise_sha256=() if sampled is None else tuple(noise_hash(noise) for noise in sampled.noise),
        weights_sha256=state.loaded.weights,
        seconds=seconds,
        records={name: records[name] for name in state.plan.recorders if records},
        words=() if sampled is None else sampled.words,
        unread={} if sampled is None else unread_lists(state.plan.unread),
    )
