"""A plan as JSON: what `sd3demo plan` prints and what the page's `/plan` answers."""

from sd3demo.engine.plan.plan import Plan


def summary(made: Plan) -> dict[str, object]:
    """Stages, times, calls, operations, memory by phase, placement, seconds, and whether it fits."""
    count, here = made.request.count, made.budget
    return {
        "stages": [
            {
                "key": stage.key,
                "kind": stage.kind,
                "width": stage.width,
                "height": stage.height,
                "sigmas": list(stage.sigmas),
                "calls": stage.calls,
                "solver": stage.solver,
                "needs": list(stage.needs),
                "flops": stage.flops * count,
                "seconds": stage.flops * count / here.flops,
            }
            for stage in made.stages
        ],
        "sigmas": list(made.sigmas),
        "calls": made.calls,
        "encoder_calls": made.encoder_calls,
        "flops": dict(made.flops),
        "memory": dict(made.memory),
        "placement": made.placement,
        "seconds": made.seconds,
        "fits": made.fits,
        "notes": list(made.notes),
        "device": {"kind": here.device, "memory": here.memory},
        "request": made.request.model_dump(mode="json"),
    }
