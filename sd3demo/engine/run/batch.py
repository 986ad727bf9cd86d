"""Several runs that go on abreast and share their network calls: of a grid, or of any list of plans.

Each run has a solver of its own that asks for velocities. What all of them ask at once is answered in one
call, whose rows have their own times and texts, so that runs of other steps, solvers, schedules, guidance or
words go together; a row that is asked for twice is computed once. Where a run ends the next one takes its
place.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from sd3demo.engine.events import BatchEvent, Encoded, Finished, StageStarted, StepDone, Stopped
from sd3demo.engine.plan.needs import demands
from sd3demo.engine.plan.plan import RECORDERS, Plan
from sd3demo.engine.run.noise import initial_noise, noise_hash
from sd3demo.engine.run.prompts import TextCache, TextKey, encoders_of, negative_texts, prompt_texts
from sd3demo.engine.run.sample import check
from sd3demo.engine.run.state import LoadedModel, PhaseTimer, pixels
from sd3demo.errors import Refusal
from sd3demo.flow.guidance import Branch
from sd3demo.flow.path.lengths import LengthRecorder
from sd3demo.flow.solvers import SOLVERS, Ask, Moves, Step
from sd3demo.models.protocol import Conditioning, Rows

MAX_RUNS = 16
"""Runs at once at most."""
ROUND = 0.5
"""Seconds that a call for all of them may take: a larger network gains nothing, and Stop waits for it."""

Places: TypeAlias = dict[TextKey, int]
Asked: TypeAlias = tuple[bytes, float, int]
"""A latent's digest, a time, a text: equal ones have equal velocities."""


@dataclass(eq=False)
class ActiveRun:
    """A run on its way: what it asks next, and what it has found."""

    run: int
    plan: Plan
    moves: Moves
    ask: Ask
    noise: Tensor
    texts: dict[Branch, int]
    lengths: LengthRecorder = field(default_factory=LengthRecorder)
    clock: PhaseTimer = field(default_factory=PhaseTimer)
    done: int = 0

    @property
    def wanted(self) -> tuple[Branch, ...]:
        return self.plan.stages[-1].guidance.wanted(self.ask.at)


def check_batch(plans: Sequence[Plan]) -> None:
    """Raises Refusal for plans that cannot go together."""
    for plan in plans:
        if len(plan.stages) != 1 or set(plan.recorders) - set(RECORDERS):
            raise Refusal("only plain runs go together: one stage, and nothing recorded but lengths")
        first = plans[0]
        where, there = (plan.placement, plan.budget.device), (first.placement, first.budget.device)
        if plan.spec != first.spec or where != there:  # what memory is free may differ from plan to plan
            raise Refusal("runs of one model in one place go together; run other models one after another")
        if plan.request.precision != first.request.precision:
            raise Refusal("runs of one precision go together; run others one after another")


def batch_size(plans: Sequence[Plan]) -> int:
    """How many of these runs go on beside one another: as memory and a call's time allow."""
    most = MAX_RUNS
    for plan in plans:
        more = demands(plan.request, plan.spec, plan.stages)["flow"].activations
        left = plan.budget.memory - max(plan.memory.values())
        call = plan.flops["flow"] / len(plan.stages[-1].visits) / plan.budget.flops
        most = min(most, 1 + max(int(left // max(more, 1)), 0), int(ROUND // max(call, 1e-9)))
    return max(most, 1)


def run_batch(
    plans: Sequence[Plan], ready: LoadedModel, cache: TextCache, stop: Callable[[], bool]
) -> Generator[BatchEvent, None, None]:
    """The events of all runs as they come."""
    clock, places = PhaseTimer(), _places(plans, ready)
    texts = [cache.encode(ready.model, key) for key in places]
    yield BatchEvent(0, Encoded(sum(text.encoder_calls for text in texts), clock.lap("encode")))
    network = SharedNetwork(ready.model.rows(texts), texts)
    waiting = deque(enumerate(plans))
    going: list[ActiveRun] = []
    room = batch_size(plans)
    while waiting or going:
        while waiting and len(going) < room:
            run, plan = waiting.popleft()
            stage = plan.stages[-1]
            yield BatchEvent(run, StageStarted(stage.key, stage.width, stage.height, stage.sigmas))
            going.append(_begun(run, plan, ready, places))
        if stop():
            break
        for each, v in zip(tuple(going), network.answers(going), strict=True):
            yield from _advance(each, v, ready, going)
    for each in going:
        yield BatchEvent(each.run, Stopped(each.plan.stages[-1].key, each.done))
    for run, plan in waiting:
        yield BatchEvent(run, Stopped(plan.stages[-1].key, 0))


def _places(plans: Sequence[Plan], ready: LoadedModel) -> Places:
    """Every text that is read, once."""
    keys = dict.fromkeys(key for plan in plans for key in _keys(plan, ready).values())
    return {key: place for place, key in enumerate(keys)}


def _keys(plan: Plan, ready: LoadedModel) -> dict[Branch, TextKey]:
    request = plan.request
    encoders = encoders_of(request)
    keys: dict[Branch, TextKey] = {
        "conditional": TextKey(ready.weights, request.precision, prompt_texts(request), encoders)
    }
    if plan.stages[-1].branches > 1:
        negative = negative_texts(request)
        keys["unconditional"] = TextKey(ready.weights, request.precision, negative, encoders)
    return keys


def _begun(run: int, plan: Plan, ready: LoadedModel, places: Places) -> ActiveRun:
    stage = plan.stages[-1]
    noise = initial_noise(plan.seeds, plan.spec, stage)
    moves = SOLVERS[stage.solver].moves(noise.to(ready.device), stage.sigmas, regime=stage.regime)
    first = next(moves)
    assert isinstance(first, Ask)
    texts = {branch: places[key] for branch, key in _keys(plan, ready).items()}
    return ActiveRun(run, plan, moves, first, noise, texts)


def _advance(each: ActiveRun, v: Tensor, ready: LoadedModel, going: list[ActiveRun]) -> Iterator[BatchEvent]:
    """One run on to its next question, or to its end."""
    item: Ask | Step | None = each.moves.send(v)
    while isinstance(item, Step):
        check(item)
        each.lengths(item)
        each.done = item.at.index + 1
        previews = ready.preview(item.denoised)
        at, key = item.at, each.plan.stages[-1].key
        yield BatchEvent(
            each.run,
            StepDone(key, at.index, at.count, at.t, item.t_next, previews, each.clock.since()),
        )
        last, item = item, next(each.moves, None)
    if item is not None:
        each.ask = item
        return
    going.remove(each)
    yield BatchEvent(each.run, _finished(each, last.x_next, ready))


def _finished(each: ActiveRun, latent: Tensor, ready: LoadedModel) -> Finished:
    each.clock.lap("flow")
    pictures = tuple(pixels(ready.model.to_image(one[None])[0]) for one in latent)
    each.clock.lap("decode")
    path, stage = each.lengths.result(), each.plan.stages[-1]
    return Finished(
        pictures=pictures,
        sigmas=stage.sigmas,
        calls=stage.calls,
        encoder_calls=0,
        path_length=tuple(path.length.tolist()),
        chord=tuple(path.chord.tolist()),
        noise_sha256=tuple(noise_hash(one[None]) for one in each.noise),
        weights_sha256=ready.weights,
        seconds=each.clock.laps,
    )


class SharedNetwork:
    """The network behind several runs; what it said of their noise is kept for those that begin later."""

    def __init__(self, rows: Rows, texts: Sequence[Conditioning]) -> None:
        self._rows = rows
        self._lengths = [text.tokens.shape[1] for text in texts]
        self._first: dict[Asked, Tensor] = {}
        self.computed = 0
        """Rows that the network was asked for, of all that were wanted."""

    def answers(self, going: Sequence[ActiveRun]) -> list[Tensor]:
        """The guided velocity that each run has asked for."""
        wanted: list[list[Asked]] = []
        latents: dict[Asked, Tensor] = {}
        for each in going:
            digest = hashlib.blake2b(each.ask.x.cpu().numpy().tobytes(), digest_size=16).digest()
            keys = [(digest, each.ask.at.t, each.texts[branch]) for branch in each.wanted]
            wanted.append(keys)
            latents |= dict.fromkeys(keys, each.ask.x)
        known = self._velocities({key: x for key, x in latents.items() if key not in self._first})
        found = self._first | known
        for each, keys in zip(going, wanted, strict=True):
            if each.ask.at.index == 0 and each.ask.at.t == each.plan.sigmas[0]:
                self._first |= {key: found[key] for key in keys}
        return [
            each.plan.stages[-1].guidance(tuple(found[key] for key in keys), each.ask.at)
            for each, keys in zip(going, wanted, strict=True)
        ]

    def _velocities(self, asked: dict[Asked, Tensor]) -> dict[Asked, Tensor]:
        """One call for all that have one size and one length of text."""
        groups: dict[tuple[torch.Size, int], list[Asked]] = {}
        for key, x in asked.items():
            groups.setdefault((x.shape[1:], self._lengths[key[2]]), []).append(key)
        found: dict[Asked, Tensor] = {}
        for keys in groups.values():
            counts = [len(asked[key]) for key in keys]
            times = [key[1] for key, count in zip(keys, counts, strict=True) for _ in range(count)]
            texts = [key[2] for key, count in zip(keys, counts, strict=True) for _ in range(count)]
            v = self._rows(torch.cat([asked[key] for key in keys]), times, texts)
            found |= dict(zip(keys, v.split(counts), strict=True))
            self.computed += len(times)
        return found
