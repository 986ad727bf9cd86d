"""The stages of a plan, as data: runs of the solver, pictures lifted as guides, pictures resampled. No torch.

Stages form a small graph: `needs` names those whose results one starts from. What several arms of a
comparison share is one stage, and done once.
"""

import math
from dataclasses import dataclass
from typing import Literal

from sd3demo.flow.extrapolation.methods import METHODS, Method
from sd3demo.flow.extrapolation.tuning import NEUTRAL, Toolkit
from sd3demo.flow.guidance import Guidance
from sd3demo.flow.solvers import At
from sd3demo.settings import Resolved
from sd3demo.settings.extrapolation import ResolvedExtrapolation

Kind = Literal["flow", "lift", "resample", "given"]
UNGUIDED = Guidance(1.0)


@dataclass(frozen=True)
class Stage:
    """One piece of work at one size.

    A flow runs the solver; a lift enlarges the picture of the stage that it needs and takes its latent, as a
    guide; a resampling enlarges that picture and leaves it at that; a given picture is a person's own. What a
    flow alone has is empty in others.
    """

    key: str
    width: int
    height: int
    sigmas: tuple[float, ...] = ()
    visits: tuple[float, ...] = ()
    """Every time at which the network will be asked at this size, in order."""
    calls: int = 0
    """Evaluations of the network for one picture; two branches in one call count two."""
    guidance: Guidance = UNGUIDED
    solver: str = ""
    needs: tuple[str, ...] = ()
    kind: Kind = "flow"
    request: Resolved | None = None
    """The settings of the arm that it belongs to; None for the native stage, which is plain."""
    scale: float = 1.0
    """How many times larger it is than the stage that its guide comes from, else than the native one."""
    toolkit: Toolkit = NEUTRAL
    native_visits: tuple[float, ...] = ()
    """The times at which the network is asked at its own size beside (upsample guidance)."""
    flops: float = 0.0
    """Operations for one picture."""

    @property
    def branches(self) -> int:
        """Conditionings that the network is ever asked about: 1 without guidance, else 2."""
        return 2 if self.calls > len(self.visits) + len(self.native_visits) else 1

    @property
    def large(self) -> ResolvedExtrapolation:
        """The settings of a stage beyond the native one."""
        assert isinstance(self.request, ResolvedExtrapolation)
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
        return METHODS["direct" if self.request is None else self.large.method]

    def regime(self, at: At) -> tuple[object, ...]:
        """The field in force at a step: where it changes, a solver with a memory starts anew."""
        return self.guidance.wanted(at), self.toolkit.shifted(at)


@dataclass(frozen=True)
class Arm:
    """One of the pictures that a plan makes: its name, the stage that ends in it, and its settings."""

    name: str
    stage: str
    request: Resolved
