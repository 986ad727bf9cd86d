"""Runs that a page refuses because they are planned to take too long, and what would pass instead."""

from sd3demo.engine import Plan
from sd3demo.engine import plan as plan_of
from sd3demo.engine.input_image import InputImage
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.server.limits import Limits


def refuse_too_long(plan: Plan, limits: Limits) -> None:
    """Raise Refusal for a run that is planned to take longer than one may here, with what would pass."""
    if plan.seconds > limits.run_seconds:
        words = lighter(plan, limits.run_seconds)
        raise Refusal(
            f"this run is planned to take {plan.seconds:.0f} s and a run has {limits.run_seconds:g} s here"
            + (
                f": try {words}"
                if words
                else ": try a smaller picture, or your own machine, which has no limit"
            )
        )


def lighter(plan: Plan, most: float) -> str:
    """Words for a run like this one that is planned to take at most so many seconds; empty where none is."""
    request = plan.request
    changes: list[dict[str, int]] = [{"count": 1}] if request.count > 1 else []
    for base in ({}, *changes):
        steps = _most_steps(plan, base, most)
        if steps:
            seconds = _seconds(plan, {**base, "steps": steps})
            words = ["one picture"] if base else []
            if steps < request.steps:
                words.append("1 step" if steps == 1 else f"{steps} steps")
            return f"{' and '.join(words)}, planned to take {seconds:.2g} s"
    return ""


def _most_steps(plan: Plan, base: dict[str, int], most: float) -> int:
    """The largest number of steps that passes, 0 where none does."""
    low, high = 0, plan.request.steps if base else plan.request.steps - 1
    while low < high:
        middle = (low + high + 1) // 2
        if _seconds(plan, {**base, "steps": middle}) <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _seconds(plan: Plan, changes: dict[str, int]) -> float:
    """What a plan with these changes takes."""
    try:
        if not plan.arms:
            request = plan.request.model_copy(update=changes)
            return plan_of(request, plan.spec, plan.budget, init=plan.init).seconds
        arms = {
            arm.name: _changed(arm.request, changes)
            for arm in plan.arms
            if isinstance(arm.request, ResolvedExtrapolation)
        }
        *_, last = arms.values()
        return plan_of(
            last,
            plan.spec,
            plan.budget,
            recorders=plan.recorders,
            arms=arms,
            own=_own(plan),
            init=plan.init,
        ).seconds
    except Refusal:
        return float("inf")


def _changed(request: Resolved, changes: dict[str, int]) -> ResolvedExtrapolation:
    large = {"large_steps": changes["steps"]} if "steps" in changes else {}
    changed = request.model_copy(update={**changes, **large})
    assert isinstance(changed, ResolvedExtrapolation)
    return changed


def _own(plan: Plan) -> InputImage | None:
    native = plan.stages[0]
    return InputImage(plan.own_picture, native.width, native.height) if plan.own_picture else None
