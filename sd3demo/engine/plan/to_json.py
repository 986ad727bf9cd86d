"""A plan as JSON: what `sd3demo plan` prints and what the page's `/plan` answers."""

from sd3demo.catalogue.spec import COMPONENTS
from sd3demo.engine.plan.memory import PHASES
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.plan.stages import FlowStage, Stage
from sd3demo.engine.plan.unread import unread_lists


def to_json(plan: Plan) -> dict[str, object]:
    """Stages, times, calls, operations, memory by phase, placement, seconds, and whether it fits.

    `weights` are the bytes of weights that are read for each phase, wherever the placement puts them.
    """
    budget = plan.budget
    return {
        "stages": [_stage(stage, plan) for stage in plan.stages],
        "sigmas": list(plan.sigmas),
        "calls": plan.calls,
        "encoder_calls": plan.encoder_calls,
        "flops": dict(plan.flops),
        "memory": dict(plan.memory),
        "placement": plan.placement,
        "components": sorted(plan.components),
        "weights": {
            phase: plan.bytes_of(frozenset(name for name in plan.components if COMPONENTS[name] == part))
            for phase, part in PHASES.items()
        },
        "seconds": plan.seconds,
        "fits": plan.fits,
        "notes": list(plan.notes),
        "unread": unread_lists(plan.unread),
        "device": {"kind": budget.device, "memory": budget.memory},
        "request": plan.request.model_dump(mode="json"),
    }


def _stage(stage: Stage, plan: Plan) -> dict[str, object]:
    flops = stage.flops * plan.request.count
    return {
        "key": stage.key,
        "kind": stage.kind,
        "width": stage.width,
        "height": stage.height,
        "sigmas": list(stage.sigmas) if isinstance(stage, FlowStage) else [],
        "calls": stage.calls,
        "solver": stage.solver if isinstance(stage, FlowStage) else "",
        "needs": list(stage.needs),
        "flops": flops,
        "seconds": flops / plan.budget.flops,
    }
