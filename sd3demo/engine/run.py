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
from sd3demo.engine.carrying import carry_out
from sd3demo.engine.course import Clock, Course, Ready
from sd3demo.engine.events import Encoded, Event, Finished, Loading, Of, Pixels, Stopped
from sd3demo.engine.own import check_own
from sd3demo.engine.plan import Plan, refuse_unless_it_fits
from sd3demo.engine.previews import fit
from sd3demo.engine.residence import place
from sd3demo.engine.texts import TextCache, TextKey, encoders_of, negative_texts, prompt_texts
from sd3demo.engine.together import check_together, together
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
        self._ready: Ready | None = None
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
    def together(
        self, plans: Sequence[Plan], *, stop: Callable[[], bool] = never
    ) -> Generator[Of, None, None]:
        """Several runs of one model that share its calls; each has its own end, Finished or Stopped.

        Their pictures are those of single runs but for the last bits. Raises Refusal for plans of two models,
        or of more than the one run of a solver each, and Failure as `run` does.
        """
        check_together(plans)
        while plans and not self._lock.acquire(timeout=0.05):
            if stop():
                yield from (Of(run, Stopped(plan.stages[-1].key, 0)) for run, plan in enumerate(plans))
                return
        if not plans:
            return
        try:
            if self._ready is None or self._ready.key != _key(plans[0]):
                yield Of(0, _loading(plans[0]))
            yield from together(plans, self._bring(plans[0]), self._texts, stop)
        except torch.OutOfMemoryError as error:
            raise self._too_large(plans[0]) from error
        finally:
            self._lock.release()

    @contextmanager
    def hold(self, plan: Plan) -> Iterator[Ready]:
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

    def _bring(self, plan: Plan) -> Ready:
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
        clock = Clock()
        if self._ready is None or self._ready.key != _key(plan):
            yield _loading(plan)
        ready = self._bring(plan)
        clock.lap("load")

        conditionings = self._encode(ready, plan)
        encoder_calls = sum(conditioning.encoder_calls for conditioning in conditionings.values())
        yield Encoded(encoder_calls, clock.lap("encode"))
        made = yield from carry_out(Course(plan, ready, conditionings, extra, stop, clock, own))
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

    def _encode(self, ready: Ready, plan: Plan) -> dict[Branch, Conditioning]:
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


def _prepare(plan: Plan, loader: Loader) -> Ready:
    """Loads the model of a plan and puts it in its place."""
    device = torch.device(plan.budget.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refusal("the plan is for a CUDA device and torch sees none; try --device cpu")
    with torch.inference_mode(False):  # weights stay ordinary tensors
        model = loader(plan.spec, DTYPES[plan.request.precision])
        place(model, plan.placement, device)
    return Ready(_key(plan), model, fingerprint(plan.spec), fit(model, device), device)


def _key(plan: Plan) -> tuple[str, ...]:
    spec = plan.spec
    return spec.name, spec.folder, spec.revision, plan.request.precision, plan.placement, plan.budget.device
