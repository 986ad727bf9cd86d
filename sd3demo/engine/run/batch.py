"""Several plans whose runs share their network calls: the cells of a grid, or any list of plans.

Where a run ends the next one takes its place; see `sample.integrate` for what is shared.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from sd3demo.engine.events import BatchEvent, Encoded, Finished, StageStarted, StepDone, Stopped
from sd3demo.engine.plan.costs import demands
from sd3demo.engine.plan.plan import RECORDERS, Plan
from sd3demo.engine.plan.unread import unread_lists
from sd3demo.engine.run.enlarging import encoded_init
from sd3demo.engine.run.image_start import ImageStart, image_start, pasted
from sd3demo.engine.run.noise import initial_noise, noise_hash
from sd3demo.engine.run.prompts import TextCache, TextKey, text_keys
from sd3demo.engine.run.sample import ActiveRun, SharedCalls, integrate, start
from sd3demo.engine.run.state import LoadedModel, PhaseTimer, pixels
from sd3demo.errors import Refusal
from sd3demo.flow.path.lengths import LengthRecorder
from sd3demo.models.protocol import Dials

MAX_RUNS = 16
"""Runs at once at most."""
CALL_SECONDS = 0.5
"""What a call for all of them may take: a larger network gains nothing, and Stop waits for it."""

TextPlaces: TypeAlias = dict[TextKey, int]


@dataclass(eq=False)
class BatchRunResult:
    """What a run of a batch has found so far."""

    plan: Plan
    noise: Tensor
    begun: ImageStart | None
    lengths: LengthRecorder = field(default_factory=LengthRecorder)
    timer: PhaseTimer = field(default_factory=PhaseTimer)


def check_batch(plans: Sequence[Plan]) -> None:
    """Raises Refusal for plans that cannot share calls."""
    for plan in plans:
        if plan.arms or set(plan.recorders) - set(RECORDERS):
            raise Refusal("only plain runs go together: one stage, and nothing recorded but lengths")
        first = plans[0]
        where, there = (plan.placement, plan.budget.device), (first.placement, first.budget.device)
        if plan.spec != first.spec or where != there:  # what memory is free may differ from plan to plan
            raise Refusal("runs of one model in one place go together; run other models one after another")
        if plan.request.precision != first.request.precision:
            raise Refusal("runs of one precision go together; run others one after another")
        if plan.flow_stages[0].skip_layers != first.flow_stages[0].skip_layers:
            raise Refusal("runs that leave out the same layers go together; run others one after another")
        if plan.flow_stages[0].embedded != first.flow_stages[0].embedded:
            raise Refusal("runs of one embedded guidance go together; run others one after another")


def batch_size(plans: Sequence[Plan]) -> int:
    """How many of these runs go on beside one another: as memory and a call's time allow."""
    most = MAX_RUNS
    for plan in plans:
        more = demands(plan.request, plan.spec, plan.stages)["flow"].activations
        left = plan.budget.memory - max(plan.memory.values())
        call = plan.flops["flow"] / len(plan.flow_stages[-1].visits) / plan.budget.flops
        most = min(most, 1 + max(int(left // max(more, 1)), 0), int(CALL_SECONDS // max(call, 1e-9)))
    return max(most, 1)


def run_batch(
    plans: Sequence[Plan], loaded: LoadedModel, cache: TextCache, stop: Callable[[], bool]
) -> Generator[BatchEvent, None, None]:
    """The events of all runs as they come."""
    timer = PhaseTimer()
    keys = dict.fromkeys(key for plan in plans for key in text_keys(plan, loaded.weights).values())
    places = {key: place for place, key in enumerate(keys)}
    texts = [cache.encode(loaded.model, key) for key in places]
    yield BatchEvent(0, Encoded(sum(text.encoder_calls for text in texts), timer.lap("encode")))
    first = plans[0].flow_stages[0]
    network = loaded.model.network(texts, Dials(skip_layers=first.skip_layers, guidance=first.embedded))
    calls = SharedCalls(network, [text.length for text in texts])
    waiting = deque(enumerate(plans))
    active: list[ActiveRun] = []
    records: dict[int, BatchRunResult] = {}
    latents: dict[str, Tensor] = {}  # of the pictures that runs start from, by their hashes
    room = batch_size(plans)

    def admit() -> Generator[BatchEvent, None, None]:
        """Start as many of the waiting runs as there is room for."""
        while waiting and len(active) < room:
            index, plan = waiting.popleft()
            stage = plan.flow_stages[-1]
            yield BatchEvent(index, StageStarted(stage.key, stage.width, stage.height, stage.sigmas))
            noise = initial_noise(plan.seeds, plan.spec, stage)
            x = noise.to(loaded.device)
            begun: ImageStart | None = None
            if plan.init is not None:
                if plan.init.sha256 not in latents:
                    latents[plan.init.sha256] = encoded_init(plan.init, loaded)
                begun = image_start(plan.init, latents[plan.init.sha256], x)
                x = begun.at(stage.sigmas[0])
            records[index] = BatchRunResult(plan, noise, begun)
            texts_of = {branch: places[key] for branch, key in text_keys(plan, loaded.weights).items()}
            active.append(start(index, stage, x, texts_of, held=begun))

    yield from admit()
    for run, step in integrate(active, calls, stop):
        record = records[run.index]
        record.lengths(step)
        at, previews, seconds = step.at, loaded.preview(step.denoised), record.timer.since()
        done = StepDone(run.stage.key, at.index, at.count, at.t, step.t_next, previews, seconds)
        yield BatchEvent(run.index, done)
        if run not in active:
            yield BatchEvent(run.index, _finished(run, record, step.x_next, loaded))
            yield from admit()
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
        encoder_calls=0,
        path_length=tuple(path.length.tolist()),
        chord=tuple(path.chord.tolist()),
        noise_sha256=tuple(noise_hash(one[None]) for one in record.noise),
        weights_sha256=loaded.weights,
        seconds=timer.laps,
        unread=unread_lists(record.plan.unread),
        inputs=init.inputs if init else {},
    )
