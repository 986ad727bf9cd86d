"""A run of larger pictures that is made up: every stage of a plan with its steps, picture and X-ray."""

import hashlib
from collections.abc import Iterator

import numpy as np

from sd3demo.engine import Plan
from sd3demo.engine.events import (
    ArmFinished,
    Encoded,
    Event,
    Finished,
    Lifted,
    Loading,
    Pixels,
    StageStarted,
    StepDone,
)
from sd3demo.engine.plan.stages import Stage
from sd3demo.engine.record.bands import FIELDS, RINGS


def enlarging(plan: Plan) -> Iterator[Event]:
    """What a run of this plan could say; each arm's picture has a grey of its own."""
    yield Loading(plan.spec.name, 5_000_000)
    yield Encoded(3, 0.01)
    made: dict[str, ArmFinished] = {}
    for shade, stage in enumerate(plan.stages, start=1):
        if stage.kind == "flow":
            yield from _steps(plan, stage, 20 * shade)
        else:
            yield Lifted(stage.key, stage.width, stage.height)
        for arm in plan.arms:
            if arm.stage == stage.key:
                made[arm.name] = _made(plan, arm.name, stage, 25 * shade)
                yield made[arm.name]
    *_, last = made.values()
    yield Finished(
        pictures=last.pictures,
        sigmas=last.sigmas,
        calls=plan.calls,
        encoder_calls=3,
        path_length=last.path_length,
        chord=last.chord,
        noise_sha256=last.noise_sha256,
        weights_sha256=last.weights_sha256,
        seconds={"load": 2.0, "encode": 0.1, "flow": 3.2, "decode": 0.2},
        arms=made,
    )


def _steps(plan: Plan, stage: Stage, shade: int) -> Iterator[Event]:
    yield StageStarted(stage.key, stage.width, stage.height, stage.sigmas)
    latent = plan.spec.latent.shape(stage.width, stage.height)[1:]
    count = len(stage.sigmas) - 1
    for index in range(count):
        times = stage.sigmas[index], stage.sigmas[index + 1]
        yield StepDone(stage.key, index, count, *times, (flat(*latent, shade + index),), 0.1 * (index + 1))


def _made(plan: Plan, name: str, stage: Stage, shade: int) -> ArmFinished:
    sigmas = plan.flow_of(stage).sigmas
    return ArmFinished(
        arm=name,
        stage=stage.key,
        pictures=(flat(stage.height, stage.width, shade),),
        sigmas=sigmas,
        calls=stage.calls,
        path_length=(75.0,),
        chord=(70.0,),
        noise_sha256=(hashlib.sha256(name.encode()).hexdigest(),),
        weights_sha256="0" * 64,
        seconds=1.5,
        records={"xray": xray(len(sigmas) - 1, corrected=name not in ("native", "direct"))},
    )


def xray(steps: int, *, corrected: bool = True) -> np.ndarray:
    """A record that could be: falling spectra, and a correction that fades."""
    random = np.random.default_rng(steps)
    rings = np.exp(-0.4 * np.arange(RINGS))[None, :] * (1 + random.random((steps, RINGS)))
    fading = np.linspace(1, 0.2, steps)[:, None]
    fields = dict.fromkeys(FIELDS, rings) | {"correction": rings * fading, "gap_left": rings * 0.3}
    strength = np.stack((np.zeros(steps), np.linspace(1.5, 0.5, steps)), 1)
    if not corrected:
        nothing = np.full_like(rings, np.nan)
        fields |= {"correction": 0 * rings, "target": nothing, "gap": nothing, "gap_left": nothing}
        strength = 0 * strength
    return np.concatenate([strength, *(fields[name] for name in FIELDS)], 1)[:, :, None].astype(np.float32)


def flat(height: int, width: int, shade: int) -> Pixels:
    """A picture of one grey, with a corner that is not."""
    pixels = np.full((height, width, 3), shade % 256, dtype=np.uint8)
    pixels[0, 0] = (255, 0, 0)
    return pixels
