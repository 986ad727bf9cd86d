"""Which runs can share network calls, and how many at a time. Pure.

Any plain runs of one model can, whatever their steps and solvers (`check_batch`). Those that wait for their
turn go as one batch where all but their texts and seeds is equal (`first_batch`): then they cost the same and
end together, and none of them waits for another's longer run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.plan.costs import demands
from sd3demo.engine.plan.memory import HEADROOM, Placement
from sd3demo.engine.plan.plan import RECORDERS, Plan
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved

MAX_RUNS = 16
"""Runs at once at most."""
CALL_SECONDS = 0.5
"""What a call for all of them may take: a larger network gains nothing, and Stop waits for it."""
OF_ONE_RUN: Mapping[str, object] = {"prompt": "", "negative": "", "prompt_2": "", "prompt_3": "", "seed": 0}
"""The settings that may differ among runs that waited and go as one batch, and what stands in their place."""


@dataclass(frozen=True)
class BatchKey:
    """What is equal in runs that waited and go as one batch; `request` is without texts and seed."""

    spec: ModelSpec
    request: Resolved
    placement: Placement
    components: frozenset[str]
    device: str


def batch_key(plan: Plan) -> BatchKey | None:
    """Return what has to be equal in the runs of this one's batch; None for a run that goes alone.

    Alone goes what has several stages or starts from a picture, or records more than every run does.
    """
    if not _is_plain(plan) or len(plan.stages) != 1 or plan.init is not None:
        return None
    request = plan.request.model_copy(update=OF_ONE_RUN)
    return BatchKey(plan.spec, request, plan.placement, plan.components, plan.budget.device)


def first_batch(plans: Sequence[Plan | None], most: int, seconds: float = math.inf) -> int:
    """Return how many of the first of these go as one batch: at least one, where there is one.

    They stand in the order of their turns; None is a run that goes alone. Only runs that follow one another
    go together, so that nobody overtakes anybody, up to `most` runs and as many pictures as one request has.
    Together they are planned to take at most so many `seconds`, for which whoever comes next has to wait.
    """
    keys = [None if plan is None else batch_key(plan) for plan in plans[:most]]
    if not keys or keys[0] is None:
        return min(len(plans), 1)
    together: list[Plan] = []
    for plan, key in zip(plans, keys, strict=False):
        if plan is None or key != keys[0] or len(together) >= batch_size([*together, plan]):
            break
        if together and sum(each.seconds for each in together) + plan.seconds > seconds:
            break
        together.append(plan)
    return max(len(together), 1)


def check_batch(plans: Sequence[Plan]) -> None:
    """Raises Refusal for plans that cannot share calls."""
    for plan in plans:
        if not _is_plain(plan):
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
        more = HEADROOM * demands(plan.request, plan.spec, plan.stages)["flow"].activations
        left = plan.budget.memory - max(plan.memory.values())
        call = plan.flops["flow"] / len(plan.flow_stages[-1].visits) / plan.budget.flops
        pictures = MAX_RUNS // plan.request.count
        most = min(
            most, pictures, 1 + max(int(left // max(more, 1)), 0), int(CALL_SECONDS // max(call, 1e-9))
        )
    return max(most, 1)


def _is_plain(plan: Plan) -> bool:
    return not plan.arms and not set(plan.recorders) - set(RECORDERS)
