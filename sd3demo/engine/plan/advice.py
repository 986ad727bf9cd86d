"""Whether a run fits, and what among the settings would make it fit: what is named has been planned.

A remedy is a request with something changed; the same arithmetic that plans a run says what it needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.plan.memory import GIB, Budget, Phase, Placement, choose, memory_by_phase
from sd3demo.engine.plan.needs import Stages, demands
from sd3demo.engine.plan.stages import Stage
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved

if TYPE_CHECKING:
    from sd3demo.engine.plan.plan import Plan

LESS = 0.95  # of the memory: what saves less than the rest of this is not worth naming
LARGER = 1.1  # the least scale that is worth naming


@dataclass(frozen=True)
class Remedy:
    """Something changed, in words that follow "try", and the most bytes that the run needs then."""

    words: str
    request: Resolved
    stages: tuple[Stage, ...]
    memory: int


def placed(
    request: Resolved, spec: ModelSpec, stages: Stages, budget: Budget
) -> tuple[Placement, dict[Phase, int]]:
    """Where the weights sit, and the bytes of each phase. Raises Refusal for what streaming cannot do."""
    needed = demands(request, spec, stages)
    placement = choose(needed, budget, request.placement)
    turned = not all(stage.toolkit.neutral for stage in stages)
    if placement == "streamed" and turned and request.placement == "auto":
        placement = "by-model"
    if placement == "streamed" and turned:
        raise Refusal(
            "placement is streamed, under which the network runs as it is; use by-model or resident with "
            "more memory, or turn positions to extend, attention to off, text_copies to 1 and half_patch off"
        )
    held: Placement = "resident" if budget.device == "cpu" else placement  # all of them are in its memory
    return placement, memory_by_phase(needed, held)


def advice(made: "Plan") -> str:
    """What to try, after "try", where a run does not fit: one change, several at once, or another device."""
    free, now = made.budget.memory, max(made.memory.values())
    single = [one for one in _remedies(made, made.request, made.stages) if one.memory <= LESS * now]
    fits = [one for one in single if one.memory <= free]
    if fits:
        return " or ".join(f"{one.words}, which needs {_gib(one.memory)}" for one in fits)
    request, stages = made.request, made.stages
    words, least = list[str](), now
    while least > free:
        further = [one for one in _remedies(made, request, stages) if one.memory <= LESS * least]
        if not further:
            break
        best = min(further, key=lambda one: (one.memory > free, one.memory))
        request, stages, least = best.request, best.stages, best.memory
        words.append(best.words)
    together = " and ".join(words)
    if least <= free:
        return f"{together}, which together need {_gib(least)}"
    return "a device with more memory" + (f": with {together} it still needs {_gib(least)}" if words else "")


def _remedies(made: "Plan", request: Resolved, stages: tuple[Stage, ...]) -> Iterator[Remedy]:
    """Each single change that this device can carry out."""
    changes: list[tuple[str, dict[str, object]]] = [("precision bfloat16", {"precision": "bfloat16"})]
    if made.budget.device == "cuda":
        changes += [(f"placement {name}", {"placement": name}) for name in ("by-model", "streamed")]
    changes += [("t5 zeros", {"t5": "zeros"})]
    if request.count > 1:
        changes += [("one picture at a time", {"count": 1})]
    for words, change in changes:
        if all(getattr(request, name) == value for name, value in change.items()):
            continue
        changed = request.model_copy(update=change)
        try:
            _, memory = placed(changed, made.spec, stages, made.budget)
        except Refusal:
            continue
        yield Remedy(words, changed, stages, max(memory.values()))
        if "count" in change and max(memory.values()) <= made.budget.memory:
            return  # a smaller one is not asked for
    yield from _smaller(made, request, stages)


def _smaller(made: "Plan", request: Resolved, stages: tuple[Stage, ...]) -> Iterator[Remedy]:
    """One picture of the largest size that fits, in round numbers where there are some: of an extrapolation
    above its native stage's, else from half of the model's own side on.
    """
    native, unit = stages[0], made.spec.multiple
    one = request.model_copy(update={"count": 1})
    found: list[Remedy] = []
    for width in range(request.width - unit, native.width if made.arms else made.spec.native // 2 - 1, -unit):
        height, rest = divmod(width * request.height, request.width)
        scale = width / native.width
        if rest or height % unit or (made.arms and scale < LARGER):
            continue  # other proportions, or hardly larger than the native picture
        smaller = Stage("smaller", width, height, toolkit=stages[-1].toolkit)
        sizes = (native, smaller) if made.arms else (smaller,)
        _, memory = placed(one, made.spec, sizes, made.budget)
        if max(memory.values()) > made.budget.memory:
            continue
        size = f"a scale of {scale:.10g}" if made.arms else f"{width} x {height} px"
        found.append(Remedy(f"one picture at {size}", one, sizes, max(memory.values())))
        if not made.arms or (4 * scale).is_integer():
            yield found[-1]
            return
    yield from found[:1]


def _gib(memory: int) -> str:
    return f"{memory / GIB:.1f} GiB"
