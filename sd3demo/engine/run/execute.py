"""The stages of a plan, one after another: each leaves its result under its key."""

from collections.abc import Generator

import torch

from sd3demo.engine.events import ArmFinished, Event, Lifted, Stopped
from sd3demo.engine.plan.stages import Arm, Stage
from sd3demo.engine.run.lifting import given, lift, resample
from sd3demo.engine.run.noise import noise_hash
from sd3demo.engine.run.sample import SampledLatents, flow
from sd3demo.engine.run.state import RunState, pixels


def carry_out(course: RunState) -> Generator[Event, None, dict[str, ArmFinished] | None]:
    """The events of all stages; returns what each arm made, or None where the run was stopped.

    A plain run has one arm, its own stage. The pictures of an extrapolation are told of as they are finished.
    """
    plan = course.plan
    arms = {
        arm.stage: arm for arm in plan.arms or (Arm(plan.stages[-1].key, plan.stages[-1].key, plan.request),)
    }
    flowed: dict[str, SampledLatents] = {}
    made: dict[str, ArmFinished] = {}
    calls, seconds = 0, sum(course.clock.laps.values())  # counted from the picture before
    for stage in plan.stages:
        if course.stop():
            yield Stopped(stage.key, 0)
            return None
        if stage.kind == "flow":
            left = yield from flow(course, stage)
            if left is None:
                return None
            flowed[stage.key] = left
            calls += left.calls
            _decode(course, stage, left)
        elif stage.kind == "given":
            course.images[stage.key] = given(course, stage)
        else:
            _enlarge(course, stage)
            yield Lifted(stage.key, stage.width, stage.height)
        if stage.key in arms:
            now = sum(course.clock.laps.values())
            source = plan.flow_of(stage)
            arm = arms[stage.key]
            made[arm.name] = _made(course, arm, source, flowed.get(source.key), calls, now - seconds)
            calls, seconds = 0, now
            if plan.arms:
                yield made[arm.name]
    return made


def _decode(course: RunState, stage: Stage, left: SampledLatents) -> None:
    """The pictures of a run of the solver, one by one, so that a batch needs no more memory than one."""
    course.clock.lap("flow")
    course.latents[stage.key] = left.latent
    to_image = course.ready.model.to_image
    course.images[stage.key] = torch.cat([to_image(latent[None]) for latent in left.latent])
    course.clock.lap("decode")


def _enlarge(course: RunState, stage: Stage) -> None:
    if stage.kind == "lift":
        course.latents[stage.key] = lift(course, stage)
    else:
        course.images[stage.key] = resample(course, stage)
    course.clock.lap("decode")


def _made(
    course: RunState, arm: Arm, source: Stage, flowed: SampledLatents | None, calls: int, seconds: float
) -> ArmFinished:
    """What is told of a picture; one's own has no noise and no path, nor has it resampled."""
    records = {} if flowed is None else flowed.records
    length, chord = records["lengths"].tolist() if records else ((), ())
    return ArmFinished(
        arm=arm.name,
        stage=source.key,
        pictures=tuple(pixels(image) for image in course.images[arm.stage]),
        sigmas=source.sigmas,
        calls=calls,
        path_length=tuple(length),
        chord=tuple(chord),
        noise_sha256=() if flowed is None else tuple(noise_hash(noise) for noise in flowed.noise),
        weights_sha256=course.ready.weights,
        seconds=seconds,
        records={name: records[name] for name in course.plan.recorders if records},
        words=() if flowed is None else flowed.words,
    )
