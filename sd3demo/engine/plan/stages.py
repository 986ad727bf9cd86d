"""The stages of a plan, as data: runs of the solver, pictures lifted as guides, pictures resampled. No torch.

Stages form a small graph: `needs` names those whose results one starts from. What several arms of a
comparison share is one stage, and done once.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from sd3demo.flow.extrapolation.methods import METHODS, Method
from sd3demo.flow.extrapolation.tuning import NEUTRAL, Toolkit
from sd3demo.flow.guidance import Branch, Guidance
from sd3demo.flow.solvers import At
from sd3demo.settings import Resolved
from sd3demo.settings.extrapolation import Kernel, Posterior, ResolvedExtrapolation

Kind = Literal["flow", "lift", "resample", "given"]


@dataclass(frozen=True)
class FlowStage:
    """A run of the solver at one size."""

    kind: ClassVar[Kind] = "flow"
    key: str
    width: int
    height: int
    sigmas: tuple[float, ...]
    visits: tuple[float, ...]
    """Every time at which the network will be asked at this size, in order."""
    calls: int
    """Evaluations of the network for one picture; two branches in one call count two."""
    guidance: Guidance
    solver: str
    flops: float
    """Operations for one picture."""
    branches: tuple[Branch, ...] = ("conditional",)
    """All that the network is ever asked about."""
    skip_layers: tuple[int, ...] = ()
    embedded: float | None = None
    """The guidance scale that the network reads; None where it reads none."""
    native_embedded: float | None = None
    """The same where it is asked at its own size beside."""
    needs: tuple[str, ...] = ()
    request: ResolvedExtrapolation | None = None
    """The settings of the arm that it belongs to; None for the native stage, which is plain."""
    scale: float = 1.0
    """How many times larger it is than the stage that its guide comes from, else than the native one."""
    toolkit: Toolkit = NEUTRAL
    native_visits: tuple[float, ...] = ()
    """The times at which the network is asked at its own size beside (upsample guidance)."""

    @property
    def large(self) -> ResolvedExtrapolation:
        """The settings of a stage beyond the native one."""
        assert self.request is not None
        return self.request

    @property
    def level(self) -> int:
        """Of a Haar low-pass, for the scale of this stage."""
        asked = self.large.level
        return round(math.log2(self.scale)) if asked == "auto" else asked

    @property
    def cutoff(self) -> float:
        """Of the other low-passes, for the scale of this stage."""
        asked = self.large.cutoff
        return min(1 / self.scale, 1.0) if asked == "auto" else asked

    @property
    def method(self) -> Method:
        """What holds the picture together: nothing, for the native stage."""
        return METHODS["direct" if self.request is None else self.request.method]

    def regime(self, at: At) -> tuple[object, ...]:
        """The field in force at a step: where it changes, a solver with a memory starts anew."""
        return self.guidance.wanted(at), self.toolkit.shifted(at), self.toolkit.aligned(at)


@dataclass(frozen=True)
class LiftStage:
    """The picture of another stage enlarged and encoded: the guide of a larger one."""

    kind: ClassVar[Kind] = "lift"
    calls: ClassVar[int] = 0
    key: str
    width: int
    height: int
    needs: tuple[str, ...]
    resampling: Kernel
    posterior: Posterior
    flops: float
    upscaler: str = ""
    """The file of a super-resolution network that enlarges first; empty for resampling alone."""


@dataclass(frozen=True)
class ResampleStage:
    """The picture of another stage enlarged, with no network of the flow: upsampling, super-resolution."""

    kind: ClassVar[Kind] = "resample"
    calls: ClassVar[int] = 0
    flops: ClassVar[float] = 0.0
    key: str
    width: int
    height: int
    needs: tuple[str, ...]
    resampling: Kernel
    upscaler: str = ""
    """The file of a super-resolution network; empty for resampling alone."""


@dataclass(frozen=True)
class GivenStage:
    """A person's own picture in the place of the native stage."""

    kind: ClassVar[Kind] = "given"
    calls: ClassVar[int] = 0
    flops: ClassVar[float] = 0.0
    needs: ClassVar[tuple[str, ...]] = ()
    key: str
    width: int
    height: int


Stage: TypeAlias = FlowStage | LiftStage | ResampleStage | GivenStage


@dataclass(frozen=True)
class Arm:
    """One of the pictures that a plan makes: its name, the stage that ends in it, and its settings."""

    name: str
    stage: str
    request: Resolved
