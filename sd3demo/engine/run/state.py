"""What a run holds while it goes on: the model in its place, the texts, and what its stages have left."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sd3demo.engine.events import Pixels
from sd3demo.engine.plan.memory import HeldModel
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.run.previews import PreviewMap
from sd3demo.errors import Failure
from sd3demo.flow.extrapolation.resampling import enlarged
from sd3demo.flow.guidance import Branch
from sd3demo.flow.solvers import Step
from sd3demo.models.protocol import Conditioning, FlowModel


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in its place, with what is known of it."""

    held: HeldModel
    model: FlowModel
    weights: str
    preview: PreviewMap
    device: torch.device


class PhaseTimer:
    """Seconds of each phase by a clock; what comes again is added to it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self.laps: dict[str, float] = {}

    def since(self) -> float:
        return self._clock() - self._start

    def lap(self, name: str) -> float:
        seconds = self.since()
        self.laps[name] = self.laps.get(name, 0.0) + seconds
        self._start = self._clock()
        return seconds


class Trajectory:
    """The predictions of the data that a run of the solver made on its way, to be asked at any t."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._predictions: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        self._times.append(step.at.t)
        self._predictions.append(step.denoised)

    def at(self, t: float, size: tuple[int, int]) -> Tensor:
        """(B, C, H, W): between two steps a mixture of theirs, beyond the ends the nearest; then enlarged."""
        times = self._times
        after = next((index for index, time in enumerate(times) if time <= t), len(times) - 1)
        before = max(after - 1, 0) if times[after] < t else after
        apart = times[before] - times[after]
        share = (times[before] - t) / apart if apart > 0 else 0.0
        mixed = torch.lerp(self._predictions[before], self._predictions[after], min(max(share, 0.0), 1.0))
        return enlarged(mixed, size, "bicubic")


@dataclass(eq=False)
class RunState:
    """A run of a plan, so far. Results are kept by the keys of the stages that gave them."""

    plan: Plan
    loaded: LoadedModel
    conditionings: Mapping[Branch, Conditioning]
    extra: Sequence[Callable[[Step], None]]
    stop: Callable[[], bool]
    timer: PhaseTimer
    own: Pixels | None = None
    """The picture that a person gave in place of the native stage, (H, W, 3)."""
    latents: dict[str, Tensor] = field(default_factory=dict)  # (B, C, h, w)
    images: dict[str, Tensor] = field(default_factory=dict)  # (B, 3, H, W) in about [-1, 1], not clamped
    trajectories: dict[str, Trajectory] = field(default_factory=dict)
    until: str = ""
    """The stage before which the run pauses; empty where it goes to its end."""
    results: bytes = b""
    """What a run that paused has left, where this one goes on with it."""


def pixels(image: Tensor) -> Pixels:
    """(3, H, W) in [-1, 1] to bytes, rounded as diffusers' image processor does.

    Raises Failure for a decoded picture that holds an infinite number, or one that is none.
    """
    if not bool(torch.isfinite(image).all()):
        raise Failure(
            "the decoded picture is not finite: the autoencoder's weights are damaged or overflow; "
            "try precision float32, or copy the model's folder again"
        )
    scaled = (image.float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255
    found: Pixels = scaled.round().to(torch.uint8).cpu().numpy()
    return found
