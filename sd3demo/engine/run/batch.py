"""Several plans whose runs share their network calls: the cells of a grid, or any list of plans.

Where a run ends the next one takes its place; see `sample.integrate` for what is shared.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from sd3demo.engine.events import BatchEvent, Encoded, Finished, StageStarted, StepDone, Stopped
from sd3demo.engine.plan.batch_size import batch_size
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.plan.unread import unread_lists
from sd3demo.engine.run.enlarging import encoded_init
from sd3demo.engine.run.image_start import ImageStart, image_start, pasted
from sd3demo.engine.run.noise import initial_noise, noise_hash
from sd3demo.engine.run.prompts import TextCache, TextKey, text_keys
from sd3demo.engine.run.sample import ActiveRun, SharedCalls, integrate, start
from sd3demo.engine.run.state import LoadedModel, PhaseTimer, pixels
from sd3demo.flow.path.lengths import LengthRecorder
from sd3demo.models.protocol import Conditioning, Dials

TextPlaces: TypeAlias = dict[TextKey, int]


@dataclass(eq=False)
class BatchRunResult:
    """What a run of a batch has found so far."""

    plan: Plan
    noise: Tensor
    encoded: Encoded
    begun: ImageStart | None
    timer: PhaseTimer
    lengths: LengthRecorder = field(default_factory=LengthRecorder)


def run_batch(
    plans: Sequence[Plan],
    loaded: LoadedModel,
    cache: TextCache,
    stop: Callable[[], bool],
    cancelled: Callable[[int], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[BatchEvent, None, None]:
    """The events of all runs as they come. `stop` ends all of them, `cancelled` the run of that place.

    The `clock` counts the seconds of their phases.
    """
    texts: list[Conditioning] = []
    places: TextPlaces = {}
    encoded: dict[int, Encoded] = {}
    for index, plan in enumerate(plans):
        timer, first = PhaseTimer(clock), len(texts)
        for key in text_keys(plan, loaded.weights).values():
            if key not in places:
                places[key] = len(texts)
                texts.append(cache.encode(loaded.model, key))
        calls_made = sum(text.encoder_calls for text in texts[first:])
        encoded[index] = Encoded(calls_made, timer.lap("encode"))
        yield BatchEvent(index, encoded[index])
    first_stage = plans[0].flow_stages[0]
    dials = Dials(skip_layers=first_stage.skip_layers, guidance=first_stage.embedded)
    calls = SharedCalls(loaded.model.network(texts, dials), [text.length for text in texts])
    waiting = deque(enumerate(plans))
    active: list[ActiveRun] = []
    stopped: list[tuple[int, str, int]] = []
    records: dict[int, BatchRunResult] = {}
    latents: dict[str, Tensor] = {}  # of the pictures that runs start from, by their hashes
    room = batch_size(plans)

    def admit() -> Generator[BatchEvent, None, None]:
        """Start as many of the waiting runs as there is room for."""
        while waiting and len(active) < room:
            index, plan = waiting.popleft()
            stage = plan.flow_stages[-1]
            if cancelled(index):
                yield BatchEvent(index, Stopped(stage.key, 0))
                continue
            yield BatchEvent(index, StageStarted(stage.key, stage.width, stage.height, stage.sigmas))
            noise = initial_noise(plan.seeds, plan.spec, stage)
            x = noise.to(loaded.device)
            begun: ImageStart | None = None
            if plan.init is not None:
                if plan.init.sha256 not in latents:
                    latents[plan.init.sha256] = encoded_init(plan.init, loaded)
                begun = image_start(plan.init, latents[plan.init.sha256], x)
                x = begun.at(stage.sigmas[0])
            records[index] = BatchRunResult(plan, noise, encoded[index], begun, PhaseTimer(clock))
            texts_of = {branch: places[key] for branch, key in text_keys(plan, loaded.weights).items()}
            active.append(start(index, stage, x, texts_of, held=begun))

    def ended() -> bool:
        """Between two calls: take the cancelled runs out, and tell whether all are to end."""
        for run in [run for run in active if cancelled(run.index)]:
            active.remove(run)
            stopped.append((run.index, run.stage.key, run.done))
        return stop()

    while waiting and not stop():
        yield from admit()
        for run, step in integrate(active, calls, ended):
            record = records[run.index]
            record.lengths(step)
            at, previews, seconds = step.at, loaded.preview(step.denoised), record.timer.since()
            done = StepDone(run.stage.key, at.index, at.count, at.t, step.t_next, previews, seconds)
            yield BatchEvent(run.index, done)
            if run not in active:
                yield BatchEvent(run.index, _finished(run, record, step.x_next, loaded))
                yield from admit()
        for index, stage_key, steps in stopped:
            yield BatchEvent(index, Stopped(stage_key, steps))
        stopped.clear()
    for run in active:
        yield BatchEvent(run.index, Stopped(run.stage.key, run.done))
    for index, plan in waiting:
        yield BatchEvent(index, Stopped(plan.stages[-1].key, 0))


def _finished(run: ActiveRun, record: BatchRunResult, latent: Tensor, loaded: LoadedModel) -> Finished:
    timer, init = record.timer, record.plan.init
    timer.lap("flow")
    latent = latent if record.begun is None else record.begun.latent(latent, 0.0)
    images = [loaded.model.to_image(one[None]) for one in latent]
    pictures = tuple(pixels((pasted(image, init) if init else image)[0]) for image in images)
    timer.lap("decode")
    path = record.lengths.result()
    return Finished(
        pictures=pictures,
        sigmas=run.stage.sigmas,
        calls=run.stage.calls,
        encoder_calls=record.encoded.calls,
        path_length=tuple(path.length.tolist()),
        chord=tuple(path.chord.tolist()),
        noise_sha256=tuple(noise_hash(one[None]) for one in record.noise),
        weights_sha256=loaded.weights,
        seconds={"encode": record.encoded.seconds, **timer.laps},
        unread=unread_lists(record.plan.unread),
        inputs=init.inputs if init else {},
    )
