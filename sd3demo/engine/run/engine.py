"""The one loop. A run is a generator of events: previews, cancelling, recording and tests are one mechanism.

Closing the generator ends the run at the step it stands at, and its lock with it: nothing goes on in the
background.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import torch

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.events import BatchEvent, Encoded, Event, Finished, Loading, Pixels, Stopped
from sd3demo.engine.input_image import check_own
from sd3demo.engine.plan.plan import Plan, refuse_unless_it_fits
from sd3demo.engine.run.batch import check_batch, run_batch
from sd3demo.engine.run.execute import carry_out
from sd3demo.engine.run.offload import place
from sd3demo.engine.run.previews import fit
from sd3demo.engine.run.prompts import TextCache, TextKey, encoders_of, negative_texts, prompt_texts
from sd3demo.engine.run.state import LoadedModel, PhaseTimer, RunState
from sd3demo.errors import Failure, Refusal
from sd3demo.flow.guidance import Branch
from sd3demo.flow.solvers import Step
from sd3demo.models import fingerprint, load
from sd3demo.models.protocol import Conditioning, FlowModel, Texts

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Loader: TypeAlias = Callable[[ModelSpec, torch.dtype], FlowModel]
Events: TypeAlias = Generator[Event, None, None]


def never() -> bool:
    """The stop that is never asked for."""
    return False


class Engine:
    """Runs plans, one at a time, and keeps the last model and the texts that it has read."""

    def __init__(self, loader: Loader = load) -> None:
        self._loader = loader
        self._lock = threading.Lock()
        self._ready: LoadedModel | None = None
        self._texts = TextCache()

    @torch.inference_mode()
    def run(
        self,
        plan: Plan,
        *,
        recorders: Sequence[Callable[[Step], None]] = (),
        stop: Callable[[], bool] = never,
        own: Pixels | None = None,
    ) -> Events:
        """The events of a run, the last one Finished or Stopped.

        `own` is the picture that the plan has in place of its native stage, where it has one.

        `recorders` see each Step beside those that the plan names. Raises Refusal for a model that is absent
        or damaged, and Failure where the arithmetic overflows or the memory runs out.
        """
        while not self._lock.acquire(timeout=0.05):  # another run is on; stopping works while waiting
            if stop():
                yield Stopped(plan.stages[0].key, 0)
                return
        try:
            yield from self._run(plan, recorders, stop, own)
        except torch.OutOfMemoryError as error:
            raise self._too_large(plan) from error
        finally:
            self._lock.release()

    @torch.inference_mode()
    def run_batch(
        self, plans: Sequence[Plan], *, stop: Callable[[], bool] = never
    ) -> Generator[BatchEvent, None, None]:
        """Several runs of one model that share its calls; each has its own end, Finished or Stopped.

        Their pictures are those of single runs but for the last bits. Raises Refusal for plans of two models,
        or of more than the one run of a solver each, and Failure as `run` does.
        """
        check_batch(plans)
        while plans and not self._lock.acquire(timeout=0.05):
            if stop():
                yield from (
                    BatchEvent(run, Stopped(plan.stages[-1].key, 0)) for run, plan in enumerate(plans)
                )
                return
        if not plans:
            return
        try:
            if self._ready is None or self._ready.key != _key(plans[0]):
                yield BatchEvent(0, _loading(plans[0]))
            yield from run_batch(plans, self._bring(plans[0]), self._texts, stop)
        except torch.OutOfMemoryError as error:
            raise self._too_large(plans[0]) from error
        finally:
            self._lock.release()

    @contextmanager
    def hold(self, plan: Plan) -> Iterator[LoadedModel]:
        """The model of a plan, in its place, for a question that is no run; runs wait meanwhile."""
        with self._lock:
            yield self._bring(plan)

    def _too_large(self, plan: Plan) -> Failure:
        """What to say when the memory ran out; the model goes, to make room."""
        self._ready = None
        return Failure(
            f"the device ran out of memory with the placement {plan.placement}; "
            "try by-model or streamed, a smaller picture or fewer at once"
        )

    def _bring(self, plan: Plan) -> LoadedModel:
        """The model of a plan: the one that is kept, or read anew."""
        if self._ready is None or self._ready.key != _key(plan):
            self._ready = None  # the one before makes room first
            self._ready = _prepare(plan, self._loader)
        return self._ready

    def _run(
        self,
        plan: Plan,
        extra: Sequence[Callable[[Step], None]],
        stop: Callable[[], bool],
        own: Pixels | None,
    ) -> Events:
        refuse_unless_it_fits(plan)
        check_own(plan.own_picture, own)
        clock = PhaseTimer()
        if self._ready is None or self._ready.key != _key(plan):
            yield _loading(plan)
        ready = self._bring(plan)
        clock.lap("load")

        conditionings = self._encode(ready, plan)
        encoder_calls = sum(conditioning.encoder_calls for conditioning in conditionings.values())
        yield Encoded(encoder_calls, clock.lap("encode"))
        made = yield from carry_out(RunState(plan, ready, conditionings, extra, stop, clock, own))
        if made is None:
            return
        *_, last = made.values()
        yield Finished(
            pictures=last.pictures,
            sigmas=last.sigmas,
            calls=sum(each.calls for each in made.values()),
            encoder_calls=encoder_calls,
            path_length=last.path_length,
            chord=last.chord,
            noise_sha256=last.noise_sha256,
            weights_sha256=last.weights_sha256,
            seconds=clock.laps,
            records=last.records,
            words=last.words,
            made=made if plan.arms else {},
        )

    def _encode(self, ready: LoadedModel, plan: Plan) -> dict[Branch, Conditioning]:
        texts: dict[Branch, Texts] = {"conditional": prompt_texts(plan.request)}
        if max(stage.branches for stage in plan.stages) > 1:
            texts["unconditional"] = negative_texts(plan.request)
        encoders = encoders_of(plan.request)
        return {
            branch: self._texts.encode(
                ready.model, TextKey(ready.weights, plan.request.precision, text, encoders)
            )
            for branch, text in texts.items()
        }


def _loading(plan: Plan) -> Loading:
    return Loading(plan.spec.name, sum(size.bytes for size in plan.spec.components.values()))


def _prepare(plan: Plan, loader: Loader) -> LoadedModel:
    """Loads the model of a plan and puts it in its place."""
    device = torch.device(plan.budget.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refusal("the plan is for a CUDA device and torch sees none; try --device cpu")
    with torch.inference_mode(False):  # weights stay ordinary tensors
        model = loader(plan.spec, DTYPES[plan.request.precision])
        place(model, plan.placement, device)
    return LoadedModel(_key(plan), model, fingerprint(plan.spec), fit(model, device), device)


def _key(plan: Plan) -> tuple[str, ...]:
    spec = plan.spec
    return spec.name, spec.folder, spec.revision, plan.request.precision, plan.placement, plan.budget.device
