"""The one loop. A run is a generator of events: previews, cancelling, recording and tests are one mechanism.

Closing the generator ends the run at the step it stands at, and its lock with it: nothing goes on in the
background.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Protocol, TypeAlias

import torch

from sd3demo.catalogue import ModelSpec
from sd3demo.catalogue.spec import COMPONENTS
from sd3demo.engine.events import (
    ArmFinished,
    BatchEvent,
    Encoded,
    Event,
    Finished,
    Loading,
    Pixels,
    StepDone,
    Stopped,
)
from sd3demo.engine.input_image import check_own
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.engine.plan.batch_size import check_batch
from sd3demo.engine.plan.costs import evicts
from sd3demo.engine.plan.memory import PLACEMENTS, Budget
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.plan.ranks import world_size
from sd3demo.engine.run.batch import run_batch
from sd3demo.engine.run.execute import execute
from sd3demo.engine.run.offload import bytes_held, hand_back, place
from sd3demo.engine.run.previews import fit
from sd3demo.engine.run.process_group import join_process_group
from sd3demo.engine.run.prompts import TextCache, text_keys
from sd3demo.engine.run.state import LoadedModel, PhaseTimer, RunState
from sd3demo.engine.run.turn import EngineLock, Turn
from sd3demo.errors import OutOfMemory, Refusal
from sd3demo.flow.guidance import Branch
from sd3demo.flow.solvers import Step
from sd3demo.models import fingerprint, load
from sd3demo.models.context_parallel import parallelise
from sd3demo.models.flux.modulation import evict_modulations
from sd3demo.models.lora_loading import adapt, adaptable
from sd3demo.models.protocol import Conditioning, FlowModel

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Events: TypeAlias = Generator[Event, None, None]


class Loader(Protocol):
    """Reads the named components of a model onto the CPU."""

    def __call__(self, spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel: ...


def never() -> bool:
    """Return False: a run that nobody stops."""
    return False


def nobody(run: int) -> bool:
    """Return False: no run of a batch is cancelled."""
    return False


class Engine:
    """Runs plans, one at a time, and keeps the last model and the texts that it has encoded."""

    def __init__(self, loader: Loader = load) -> None:
        self._loader = loader
        self._lock = EngineLock()
        self._loaded: LoadedModel | None = None
        self._texts = TextCache()

    def budget(self, free: Budget) -> Budget:
        """What a plan can have, given what is free: what this engine holds counts as free.

        It is the same model's, or makes room for another one.
        """
        loaded = self._loaded
        if loaded is None or loaded.held.device != free.device:
            return free
        memory = free.memory + bytes_held(loaded.model, loaded.device)
        return replace(free, memory=memory, held=loaded.held)

    @torch.inference_mode()
    def run(
        self,
        plan: Plan,
        *,
        recorders: Sequence[Callable[[Step], None]] = (),
        stop: Callable[[], bool] = never,
        own: Pixels | None = None,
        until: str = "",
        results: bytes = b"",
        lends: bool = False,
    ) -> Events:
        """The events of a run, the last one Finished or Stopped.

        `own` is the picture that the plan has in place of its native stage, where it has one. A run can go on
        in another process: with `until` it ends with Paused before the stage of that key, and with the
        `results` of that event it goes on from there.

        A run that `lends` gives the engine back at each of its events until the next one is asked for, so
        that others can compute meanwhile; see `resting_model` for the plans that may.

        `recorders` see each Step beside those that the plan names. Raises Refusal for a model that is absent
        or damaged, and Failure where the arithmetic overflows or the memory runs out. Where it runs out the
        run begins once more with less on the device at once, unless a picture of it is told of.
        """
        turn = Turn(self._lock, stop)
        if not turn.take():
            yield Stopped(plan.stages[0].key, 0)
            return
        events = self._attempts(plan, recorders, stop, own, until, results, turn.clock)
        stopped_at = yield from turn.events_of(events, lends=lends)
        if stopped_at is not None:
            yield _stopped_at(stopped_at, plan)

    @torch.inference_mode()
    def run_batch(
        self,
        plans: Sequence[Plan],
        *,
        stop: Callable[[], bool] = never,
        cancelled: Callable[[int], bool] = nobody,
        lends: bool = False,
    ) -> Generator[BatchEvent, None, None]:
        """Several runs of one model that share its calls; each has its own end, Finished or Stopped.

        `stop` ends all of them, `cancelled` the run of that place; both are asked between two calls. Their
        pictures are those of single runs but for the last bits. Where the memory runs out, the runs that are
        left go on one by one. `lends` is that of `run`. Raises Refusal for plans of two models, or of more
        than the one run of a solver each, and Failure as `run` does.
        """
        check_batch(plans)
        if not plans:
            return
        ended = [BatchEvent(place, Stopped(plan.stages[-1].key, 0)) for place, plan in enumerate(plans)]
        turn = Turn(self._lock, lambda: stop() or all(map(cancelled, range(len(plans)))))
        if not turn.take():
            yield from ended
            return
        left = dict(enumerate(plans))
        events = self._batch_attempts(left, stop, cancelled, turn.clock)
        if (yield from turn.events_of(events, lends=lends)) is not None:
            yield from (ended[place] for place in left)

    @contextmanager
    def hold(self, plan: Plan) -> Iterator[LoadedModel]:
        """The model of a plan, in its place, for a question that is no run; runs wait meanwhile."""
        with self._lock:
            yield self._bring(plan)

    def drop(self) -> None:
        """Let the model go and hand its memory back."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._loaded is not None:
            device, self._loaded = self._loaded.device, None
            hand_back(device)

    def _lighter(self, plan: Plan, error: RuntimeError | MemoryError, *, last: bool = False) -> Plan:
        """The plan with less on the device at once, after the memory ran out; all that was held is let go.

        On a GPU its placement is the next one. A CPU has the weights where they are used: there the text
        encoders are left out where the texts are cached. Raises OutOfMemory where there is no next one or it
        is the `last` try, and any other error as it is.
        """
        if not is_out_of_memory(error):
            raise error
        texts = text_keys(plan, self._loaded.weights).values() if self._loaded else ()
        cached = bool(texts) and all(key in self._texts for key in texts)
        self._drop()
        on_cpu = plan.budget.device == "cpu"
        below = PLACEMENTS[PLACEMENTS.index(plan.placement) + 1 :]
        if last or not (on_cpu or below):
            raise OutOfMemory(
                f"the device ran out of memory with the placement {plan.placement}; try "
                + ("precision bfloat16" if on_cpu else "by-model or streamed")
                + ", a smaller picture or fewer at once"
            ) from error
        if not on_cpu:
            return replace(plan, placement=below[0])
        encoders = frozenset(name for name in plan.components if COMPONENTS[name] == "text")
        return replace(plan, components=plan.components - encoders) if cached else plan

    def _loading(self, plan: Plan) -> Iterator[Event]:
        """The news that files are about to be read, where they are."""
        loaded = self._loaded
        missing = plan.components - (loaded.held.components if loaded and self._keeps(plan) else frozenset())
        if missing or not self._keeps(plan):
            yield Loading(plan.spec.name, sum(plan.spec.components[name].bytes for name in missing))

    def _keeps(self, plan: Plan) -> bool:
        """Whether the model that is held serves a plan where it sits; parts may still have to be read."""
        if self._loaded is None:
            return False
        held, wanted = self._loaded.held, plan.model_key
        if replace(held, components=wanted.components) != wanted:
            return False
        room = plan.budget.memory - max(plan.memory.values())
        return plan.bytes_of(held.components - wanted.components) <= max(room, 0)

    def _swap_loras(self, plan: Plan) -> None:
        """Give the model that is held the plan's LoRAs, where they are all that sets it apart.

        Where hooks bring the weights to the device the model is loaded anew.
        """
        loaded, wanted = self._loaded, plan.model_key
        if self._lock.lenders:  # a run that will go on has this model
            return
        if loaded is None or loaded.held.adapters == wanted.adapters or loaded.held.placement != "resident":
            return
        if replace(loaded.held, adapters=wanted.adapters, components=wanted.components) != wanted:
            return
        self._loaded = None  # half changed, it would be no model's
        with torch.inference_mode(False):
            adapt(adaptable(loaded.model), plan.spec)
        held = replace(loaded.held, adapters=wanted.adapters)
        self._loaded = replace(loaded, held=held, weights=fingerprint(plan.spec))

    def _bring(self, plan: Plan) -> LoadedModel:
        """The model of a plan: the one that is held, with what it lacks read now, or another one."""
        self._swap_loras(plan)
        if not self._keeps(plan):
            self._drop()  # the one before makes room first
            self._loaded = _prepare(plan, self._loader)
        loaded = self._loaded
        assert loaded is not None
        if missing := plan.components - loaded.held.components:
            with torch.inference_mode(False):
                new = loaded.model.load(missing)
                adapt(new, plan.spec)
                place(loaded.model, plan.placement, loaded.device, new=tuple(new.values()))
            held = replace(loaded.held, components=loaded.held.components | missing)
            loaded = replace(loaded, held=held)
            self._loaded = loaded
        return loaded

    def _attempts(
        self,
        plan: Plan,
        recorders: Sequence[Callable[[Step], None]],
        stop: Callable[[], bool],
        own: Pixels | None,
        until: str,
        results: bytes,
        clock: Callable[[], float],
    ) -> Events:
        """A run that begins once more, with less on the device, where the memory runs out."""
        told = bool(recorders)  # recorders have seen steps that must not come again
        try:
            with closing(self._run(plan, recorders, stop, own, until, results, clock)) as events:
                for event in events:
                    told = told or isinstance(event, ArmFinished)  # that picture stays
                    yield event
            return
        except (RuntimeError, MemoryError) as error:
            lighter = self._lighter(plan, error, last=told)
        hand_back(torch.device(plan.budget.device))  # the error is gone, and the tensors of its frames
        try:
            yield from self._run(lighter, recorders, stop, own, until, results, clock)
        except (RuntimeError, MemoryError) as error:
            self._lighter(lighter, error, last=True)

    def _batch_attempts(
        self,
        left: dict[int, Plan],
        stop: Callable[[], bool],
        cancelled: Callable[[int], bool],
        clock: Callable[[], float],
    ) -> Generator[BatchEvent, None, None]:
        """A batch that goes on one by one where the memory runs out; what has ended leaves `left`."""
        plans = tuple(left.values())
        try:
            yield from (BatchEvent(0, event) for event in self._loading(plans[0]))
            model = self._bring(plans[0])
            with closing(run_batch(plans, model, self._texts, stop, cancelled, clock)) as events:
                for news in events:
                    if isinstance(news.event, Finished | Stopped):
                        left.pop(news.run)
                    yield news
            return
        except (RuntimeError, MemoryError) as error:
            lighter = self._lighter(plans[0], error)
        hand_back(torch.device(lighter.budget.device))
        log.warning("the memory ran out with %d runs in a batch: they go on one by one", len(left))
        try:
            for place, plan in tuple(left.items()):
                alone, gone = replace(plan, placement=lighter.placement), _only(cancelled, place)
                for news in run_batch([alone], self._bring(alone), self._texts, stop, gone, clock):
                    if isinstance(news.event, Finished | Stopped):
                        left.pop(place)
                    yield BatchEvent(place, news.event)
        except (RuntimeError, MemoryError) as error:
            self._lighter(lighter, error, last=True)

    def _run(
        self,
        plan: Plan,
        extra: Sequence[Callable[[Step], None]],
        stop: Callable[[], bool],
        own: Pixels | None,
        until: str,
        results: bytes,
        clock: Callable[[], float],
    ) -> Events:
        refuse_unless_it_fits(plan)
        check_own(plan.own_picture, own)
        timer = PhaseTimer(clock)
        yield from self._loading(plan)
        loaded = self._bring(plan)
        timer.lap("load")

        conditionings = self._encode(loaded, plan)
        encoder_calls = sum(conditioning.encoder_calls for conditioning in conditionings.values())
        yield Encoded(encoder_calls, timer.lap("encode"))
        state = RunState(plan, loaded, conditionings, extra, stop, timer, own, until=until, results=results)
        arms = yield from execute(state)
        if arms is None:
            return
        *_, last = arms.values()
        yield Finished(
            pictures=last.pictures,
            sigmas=last.sigmas,
            calls=sum(each.calls for each in arms.values()),
            encoder_calls=encoder_calls,
            path_length=last.path_length,
            chord=last.chord,
            noise_sha256=last.noise_sha256,
            weights_sha256=last.weights_sha256,
            seconds=timer.laps,
            records=last.records,
            words=last.words,
            unread=last.unread,
            arms=arms if plan.arms else {},
            inputs=plan.init.inputs if plan.init else {},
        )

    def _encode(self, loaded: LoadedModel, plan: Plan) -> Mapping[Branch, Conditioning]:
        keys = text_keys(plan, loaded.weights)
        return {branch: self._texts.encode(loaded.model, key) for branch, key in keys.items()}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on a CUDA device, or on a CPU in either of its ways."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _only(cancelled: Callable[[int], bool], place: int) -> Callable[[int], bool]:
    """Whether the run of one place is cancelled, for a batch of that run alone."""
    return lambda _: cancelled(place)


def _stopped_at(event: Event, plan: Plan) -> Stopped:
    """The end of a run that was stopped after an event."""
    if isinstance(event, StepDone):
        return Stopped(event.stage, event.index + 1)
    return Stopped(plan.stages[-1].key, 0)


def _prepare(plan: Plan, loader: Loader) -> LoadedModel:
    """Load the model of a plan and put it in its place."""
    device = torch.device(plan.budget.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refusal("the plan is for a CUDA device and torch sees none; try --device cpu")
    devices = world_size()
    if devices > 1:
        device = join_process_group(device)
    with torch.inference_mode(False):  # weights stay ordinary tensors
        model = loader(plan.spec, DTYPES[plan.request.precision], plan.components)
        if plan.placement == "by-model" and evicts(plan.spec):
            evict_modulations(model.parts["flow"])
        place(model, "resident" if devices > 1 else plan.placement, device)
        if devices > 1:
            parallelise(model.parts["flow"], devices)
    return LoadedModel(plan.model_key, model, fingerprint(plan.spec), fit(model, device), device)
