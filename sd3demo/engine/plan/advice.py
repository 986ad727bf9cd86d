"""What among the settings would make a run fit: what is named has been planned.

A remedy is a request with something changed; the same arithmetic that plans a run says what it needs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.plan import Plan, place
from sd3demo.engine.plan.stages import FlowStage, Stage
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, options_of

LESS = 0.95  # of the memory: what saves less than the rest of this is not worth naming
LARGER = 1.1  # the least scale that is worth naming


@dataclass(frozen=True)
class Remedy:
    """Something changed, in words that follow "try", and the most bytes that the run needs then."""

    words: str
    request: Resolved
    stages: tuple[Stage, ...]
    memory: int


def refuse_unless_it_fits(plan: Plan) -> None:
    """Raises Refusal, with what would make it fit, for an extrapolation with too little memory."""
    if not plan.fits and plan.arms:
        raise Refusal(too_large(plan))


def too_large(plan: Plan) -> str:
    """What a run that does not fit needs, what is free, and what to try."""
    request, needed = plan.request, max(plan.memory.values())
    return (
        f"{request.count} x {request.width} x {request.height} px need about {needed / GIB:.1f} GiB and "
        f"{plan.budget.memory / GIB:.1f} GiB are free: try {advice(plan)}"
    )


def advice(plan: Plan) -> str:
    """What to try, after "try", where a run does not fit: one change, several at once, or another device."""
    free, now = plan.budget.memory, max(plan.memory.values())
    single = [one for one in _remedies(plan, plan.request, plan.stages) if one.memory <= LESS * now]
    fits = [one for one in single if one.memory <= free]
    if fits:
        return " or ".join(f"{one.words}, which needs {_gib(one.memory)}" for one in fits)
    request, stages = plan.request, plan.stages
    words, least = list[str](), now
    while least > free:
        further = [one for one in _remedies(plan, request, stages) if one.memory <= LESS * least]
        if not further:
            break
        best = min(further, key=lambda one: (one.memory > free, one.memory))
        request, stages, least = best.request, best.stages, best.memory
        words.append(best.words)
    joined = " and ".join(words)
    if least <= free:
        return f"{joined}, which together need {_gib(least)}"
    return "a device with more memory" + (f": with {joined} it still needs {_gib(least)}" if words else "")


def _remedies(plan: Plan, request: Resolved, stages: tuple[Stage, ...]) -> Iterator[Remedy]:
    """Each single change that this device can carry out."""
    changes: list[tuple[str, Mapping[str, object]]] = [("precision bfloat16", {"precision": "bfloat16"})]
    if plan.budget.device == "cuda":
        changes += [(f"placement {name}", {"placement": name}) for name in ("by-model", "streamed")]
    changes += options_of(request, plan.spec).lighter(plan.spec)
    if request.count > 1:
        changes += [("one picture at a time", {"count": 1})]
    for words, change in changes:
        if all(getattr(request, name) == value for name, value in change.items()):
            continue
        changed = request.model_copy(update=change)
        memory = _memory(plan, changed, stages)
        yield Remedy(words, changed, stages, memory)
        if "count" in change and memory <= plan.budget.memory:
            return  # a smaller one is not asked for
    yield from _smaller(plan, request, stages)


def _smaller(plan: Plan, request: Resolved, stages: tuple[Stage, ...]) -> Iterator[Remedy]:
    """One picture of the largest size that fits, in round numbers where there are some: of an extrapolation
    above its native stage's, else from half of the model's own side on.
    """
    native, unit = stages[0], plan.spec.latent.multiple
    one = request.model_copy(update={"count": 1})
    found: list[Remedy] = []
    for width in range(request.width - unit, native.width if plan.arms else plan.spec.native // 2 - 1, -unit):
        height, rest = divmod(width * request.height, request.width)
        scale = width / native.width
        if rest or height % unit or (plan.arms and scale < LARGER):
            continue  # other proportions, or hardly larger than the native picture
        sizes = (native, _resized(stages, width, height)) if plan.arms else (_resized(stages, width, height),)
        memory = _memory(plan, one, sizes)
        if memory > plan.budget.memory:
            continue
        size = f"a scale of {scale:.10g}" if plan.arms else f"{width} x {height} px"
        found.append(Remedy(f"one picture at {size}", one, sizes, memory))
        if not plan.arms or (4 * scale).is_integer():
            yield found[-1]
            return
    yield from found[:1]


def _resized(stages: tuple[Stage, ...], width: int, height: int) -> Stage:
    """The last run of the solver at another size."""
    flows = [stage for stage in stages if isinstance(stage, FlowStage)]
    return replace(flows[-1] if flows else stages[-1], width=width, height=height)


def _memory(plan: Plan, request: Resolved, stages: tuple[Stage, ...]) -> int:
    """The most bytes of any phase; a model that is held would be placed anew for it."""
    budget = replace(plan.budget, held=None)
    return max(place(request, plan.spec, stages, budget).memory.values())


def _gib(memory: int) -> str:
    return f"{memory / GIB:.1f} GiB"
