"""The one loop that integrates: any number of runs of the solver, whose questions share network calls.

Each run has a solver of its own that asks for velocities. What all of them ask at once is answered in one
call, whose rows have their own times and texts, so that runs of other steps, solvers, schedules, guidance or
texts go together; a row that is asked for twice is computed once. A single run is a list of one. A run whose
method wraps the velocity, such as projected flow, asks the network by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from sd3demo.engine.plan.stages import FlowStage
from sd3demo.errors import Failure
from sd3demo.flow.guidance import Branch, Branches, Witness
from sd3demo.flow.solvers import SOLVERS, Ask, At, Moves, Step, Velocity
from sd3demo.models.protocol import Rows

RowKey: TypeAlias = tuple[bytes, At, int, bool]
"""A latent's digest, where it stands, a text, and whether layers are left out: equal ones have equal rows."""


class Held(Protocol):
    """What of a latent moves on a line of its own, whatever the network says of it."""

    def latent(self, x: Tensor, t: float) -> Tensor:
        """The latent as the network is asked about it."""
        ...

    def velocity(self, v: Tensor) -> Tensor:
        """The velocity as the solver is given it."""
        ...


class CountedBranches:
    """Branches that count how often the network is evaluated: two branches in one call count two."""

    def __init__(self, branches: Branches) -> None:
        self._branches = branches
        self.calls = 0

    def __call__(self, x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]:
        self.calls += len(wanted)
        return self._branches(x, at, wanted)


@dataclass(eq=False)
class ActiveRun:
    """A run on its way: what it asks next, and what it is told.

    `velocity` answers by itself for a run whose method wraps the network; None leaves its questions to the
    shared calls. `witnesses` see the branches. `held` is what of the latent is not the network's to move.
    """

    index: int
    stage: FlowStage
    moves: Moves
    ask: Ask
    places: Mapping[Branch, int]
    velocity: Velocity | None = None
    witnesses: Sequence[Witness] = ()
    held: Held | None = None
    calls: int = 0
    done: int = 0
    """Steps that are finished."""

    @property
    def wanted(self) -> tuple[Branch, ...]:
        return self.stage.guidance.wanted(self.ask.at)


def start(
    index: int,
    stage: FlowStage,
    x: Tensor,
    places: Mapping[Branch, int],
    *,
    velocity: Velocity | None = None,
    witnesses: Sequence[Witness] = (),
    held: Held | None = None,
) -> ActiveRun:
    """A run that stands at its first question, at the latent (B, C, h, w) that it starts from."""
    moves = SOLVERS[stage.solver].moves(x, stage.sigmas, regime=stage.regime)
    first = next(moves)
    assert isinstance(first, Ask)
    return ActiveRun(index, stage, moves, first, places, velocity, witnesses, held)


@dataclass(eq=False)
class SharedCalls:
    """The network behind several runs; what it said of their noise is kept for those that start later."""

    rows: Rows
    lengths: Sequence[int]
    first: dict[RowKey, Tensor] = field(default_factory=dict)
    computed: int = 0
    """Rows that the network was asked for, of all that were wanted."""

    def answer(self, runs: Sequence[ActiveRun], *, share: bool) -> list[Tensor]:
        """The guided velocity that each run has asked for; `share` finds equal rows among them."""
        keys = [self._keys(run, number, share) for number, run in enumerate(runs)]
        latents = {key: run.ask.x for run, wanted in zip(runs, keys, strict=True) for key in wanted}
        new = {key: x for key, x in latents.items() if key not in self.first}
        found = self.first | self._velocities(new)
        answers = []
        for run, wanted in zip(runs, keys, strict=True):
            if share and run.done == 0 and run.ask.at.t == run.stage.sigmas[0]:
                self.first |= {key: found[key] for key in wanted}
            branches = tuple(found[key] for key in wanted)
            run.calls += len(wanted)
            v = run.stage.guidance(branches, run.ask.at)
            for witness in run.witnesses:
                witness(run.ask.at, dict(zip(run.wanted, branches, strict=True)), v)
            answers.append(v if run.held is None else run.held.velocity(v))
        return answers

    def _keys(self, run: ActiveRun, number: int, share: bool) -> list[RowKey]:
        at = run.ask.at
        digest = number.to_bytes(4)
        if share:
            at = At(at.t, 0, 1)  # the index decides nothing of a network as it was trained
            digest = hashlib.blake2b(run.ask.x.cpu().numpy().tobytes(), digest_size=16).digest()
        return [
            (digest, at, run.places["conditional" if branch == "skipped" else branch], branch == "skipped")
            for branch in run.wanted
        ]

    def _velocities(self, asked: Mapping[RowKey, Tensor]) -> dict[RowKey, Tensor]:
        """One call for all that have one size, one length of text and the same layers."""
        groups: dict[tuple[torch.Size, int, bool], list[RowKey]] = {}
        for key, x in asked.items():
            groups.setdefault((x.shape[1:], self.lengths[key[2]], key[3]), []).append(key)
        found: dict[RowKey, Tensor] = {}
        for (_, _, skip), keys in groups.items():
            counts = [len(asked[key]) for key in keys]
            ats = [key[1] for key, count in zip(keys, counts, strict=True) for _ in range(count)]
            texts = [key[2] for key, count in zip(keys, counts, strict=True) for _ in range(count)]
            v = self.rows(torch.cat([asked[key] for key in keys]), ats, texts, skip=skip)
            found |= dict(zip(keys, v.split(counts), strict=True))
            self.computed += len(ats)
        return found


def integrate(
    active: list[ActiveRun], calls: SharedCalls | None, stop: Callable[[], bool], *, share: bool = True
) -> Generator[tuple[ActiveRun, Step], None, None]:
    """Every step of every run as it is made, until `active` is empty or `stop` says so between two calls.

    A finished run is taken out of `active` before its last step is told, and others may be added meanwhile.
    `calls` answers the runs that have no velocity of their own. Raises Failure for a latent that is not
    finite.
    """
    while active and not stop():
        answers: dict[int, Tensor] = {}
        if calls is not None:
            shared = [run for run in active if run.velocity is None]
            answers = dict(zip(map(id, shared), calls.answer(shared, share=share), strict=True))
        for run in tuple(active):
            v = answers[id(run)] if run.velocity is None else run.velocity(run.ask.x, run.ask.at)
            item: Ask | Step | None = run.moves.send(v)
            while isinstance(item, Step):
                check_finite(item)
                run.done = item.at.index + 1
                step, item = item, next(run.moves, None)
                if item is None:
                    active.remove(run)
                yield run, step
            if item is not None:
                run.ask = item if run.held is None else Ask(run.held.latent(item.x, item.at.t), item.at)


def check_finite(step: Step) -> None:
    """Raises Failure for a latent with an infinite number, or one that is none."""
    if not bool(torch.isfinite(step.x_next).all()):
        at = step.at
        raise Failure(
            f"the latent is not finite after step {at.index + 1} of {at.count} (t = {at.t:.3f}); "
            "try precision float32, more steps or a lower cfg"
        )
