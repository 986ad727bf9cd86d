"""The one loop. A run is a generator of events: previews, cancelling, recording and tests are one mechanism.

Closing the generator ends the run at the step it stands at, and its lock with it: nothing goes on in the
background.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.events import (
    Encoded,
    Event,
    Finished,
    Loading,
    Pixels,
    StageStarted,
    StepDone,
    Stopped,
)
from sd3demo.engine.plan import Plan, Stage
from sd3demo.engine.previews import PreviewMap, fit
from sd3demo.engine.recorders import RECORDERS, Witnessing
from sd3demo.engine.residence import place
from sd3demo.engine.scenes import scene_of
from sd3demo.engine.texts import TextCache, TextKey, encoders_of, negative_texts, prompt_texts
from sd3demo.errors import Failure, Refusal
from sd3demo.flow.guidance import Branch, Branches, guided
from sd3demo.flow.solvers import SOLVERS, At, Step
from sd3demo.models import fingerprint, load
from sd3demo.models.protocol import Conditioning, Dials, FlowModel, Texts

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Loader: TypeAlias = Callable[[ModelSpec, torch.dtype], FlowModel]
Events: TypeAlias = Generator[Event, None, None]


@dataclass(frozen=True, eq=False)
class Ready:
    """A model in its place, with what is known of it."""

    key: tuple[str, ...]
    model: FlowModel
    weights: str
    preview: PreviewMap
    device: torch.device


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
    ) -> Events:
        """The events of a run, the last one Finished or Stopped.

        `recorders` see each Step beside those that the plan names. Raises Refusal for a model that is absent
        or damaged, and Failure where the arithmetic overflows or the memory runs out.
        """
        while not self._lock.acquire(timeout=0.05):  # another run is on; stopping works while waiting
            if stop():
                yield Stopped(plan.stages[0].key, 0)
                return
        try:
            yield from self._run(plan, recorders, stop)
        except torch.OutOfMemoryError as error:
            self._ready = None
            raise Failure(
                f"the device ran out of memory with the placement {plan.placement}; "
                "try by-model or streamed, a smaller picture or fewer at once"
            ) from error
        finally:
            self._lock.release()

    @contextmanager
    def hold(self, plan: Plan) -> Iterator[Ready]:
        """The model of a plan, in its place, for a question that is no run; runs wait meanwhile."""
        with self._lock:
            yield self._bring(plan)

    def _bring(self, plan: Plan) -> Ready:
        """The model of a plan: the one that is kept, or read anew."""
        if self._ready is None or self._ready.key != _key(plan):
            self._ready = None  # the one before makes room first
            self._ready = _prepare(plan, self._loader)
        return self._ready

    def _run(self, plan: Plan, extra: Sequence[Callable[[Step], None]], stop: Callable[[], bool]) -> Events:
        clock, stage = Clock(), plan.stages[-1]
        if self._ready is None or self._ready.key != _key(plan):
            yield Loading(plan.spec.name, sum(size.bytes for size in plan.spec.components.values()))
        ready = self._bring(plan)
        clock.lap("load")

        conditionings = self._encode(ready, plan, stage)
        encoder_calls = sum(conditioning.encoder_calls for conditioning in conditionings.values())
        yield Encoded(encoder_calls, clock.lap("encode"))
        if stop():
            yield Stopped(stage.key, 0)
            return

        yield StageStarted(stage.key, stage.width, stage.height, stage.sigmas)
        scene = scene_of(plan, ready.model, ready.preview, conditionings["conditional"])
        recorders = {name: RECORDERS[name](scene) for name in {"lengths": 0} | dict.fromkeys(plan.recorders)}
        witnesses = [recorder.witness for recorder in recorders.values() if isinstance(recorder, Witnessing)]
        watchers: list[Callable[[Step], None]] = [*recorders.values(), *extra]
        branches = Counted(ready.model.branches(conditionings, Dials(stage.visits)))
        noise = initial_noise(plan.seeds, ready.model.spec, stage)
        x = noise.to(ready.device)
        velocity = guided(branches, stage.guidance, witnesses)
        for step in SOLVERS[stage.solver](velocity, x, stage.sigmas, regime=stage.guidance.wanted):
            x, at = step.x_next, step.at
            _check(step)
            for watch in watchers:
                watch(step)
            previews = ready.preview(step.denoised)
            yield StepDone(stage.key, at.index, at.count, at.t, step.t_next, previews, clock.since())
            if stop():
                yield Stopped(stage.key, at.index + 1)
                return
        clock.lap("flow")

        pictures = tuple(_pixels(ready.model.to_image(latent[None])) for latent in x)
        clock.lap("decode")
        records = {name: recorder.result() for name, recorder in recorders.items()}
        length, chord = records["lengths"].tolist()
        yield Finished(
            pictures=pictures,
            sigmas=stage.sigmas,
            calls=branches.calls,
            encoder_calls=encoder_calls,
            path_length=tuple(length),
            chord=tuple(chord),
            noise_sha256=tuple(noise_hash(picture) for picture in noise),
            weights_sha256=ready.weights,
            seconds=clock.laps,
            records={name: records[name] for name in plan.recorders},
            words=scene.words if "attention" in plan.recorders else (),
        )

    def _encode(self, ready: Ready, plan: Plan, stage: Stage) -> dict[Branch, Conditioning]:
        texts: dict[Branch, Texts] = {"conditional": prompt_texts(plan.request)}
        if stage.branches > 1:
            texts["unconditional"] = negative_texts(plan.request)
        encoders = encoders_of(plan.request)
        return {
            branch: self._texts.encode(
                ready.model, TextKey(ready.weights, plan.request.precision, text, encoders)
            )
            for branch, text in texts.items()
        }


class Counted:
    """Branches that count how often the network is evaluated: two branches in one call count two."""

    def __init__(self, branches: Branches) -> None:
        self._branches = branches
        self.calls = 0

    def __call__(self, x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]:
        self.calls += len(wanted)
        return self._branches(x, at, wanted)


class Clock:
    """Seconds of each phase, one after another."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.laps: dict[str, float] = {}

    def since(self) -> float:
        return time.perf_counter() - self._start

    def lap(self, name: str) -> float:
        self.laps[name] = self.since()
        self._start = time.perf_counter()
        return self.laps[name]


def initial_noise(seeds: Sequence[int], spec: ModelSpec, stage: Stage) -> Tensor:
    """(B, C, H, W), each drawn as diffusers' pipelines draw it: float32, by a CPU generator with its seed."""
    height, width = stage.height // spec.vae_factor, stage.width // spec.vae_factor
    shape = (1, spec.network.channels, height, width)
    return torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def noise_hash(noise: Tensor) -> str:
    """SHA-256 of a picture's noise, as the bytes of its float32 numbers in little-endian order."""
    return hashlib.sha256(noise.contiguous().numpy().astype("<f4").tobytes()).hexdigest()


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


def _check(step: Step) -> None:
    if not bool(torch.isfinite(step.x_next).all()):
        at = step.at
        raise Failure(
            f"the latent is not finite after step {at.index + 1} of {at.count} (t = {at.t:.3f}); "
            "try precision float32, more steps or a lower cfg"
        )


def _pixels(image: Tensor) -> Pixels:
    """(1, 3, H, W) in [-1, 1] to bytes, rounded as diffusers' image processor does."""
    scaled = (image[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255
    pixels: Pixels = scaled.round().to(torch.uint8).cpu().numpy()
    return pixels
