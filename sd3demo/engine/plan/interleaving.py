"""Which runs can wait between two of their steps while others compute."""

from dataclasses import replace

from sd3demo.engine.plan.memory import HeldModel
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.plan.ranks import world_size


def resting_model(plan: Plan) -> HeldModel | None:
    """Return the model that a run keeps while it waits between two steps; None for a run that cannot.

    It can where all weights stay in their place and a second model would find room: on a CPU. Runs that keep
    the same model can take turns, step by step.
    """
    if plan.placement != "resident" or plan.budget.device != "cpu" or world_size() > 1:
        return None
    return replace(plan.model_key, components=frozenset())
