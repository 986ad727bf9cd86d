"""One inference core: a Request becomes a Plan, and Engine.run makes it happen as a stream of events.

`plan` answers without torch; `Engine` brings torch in when it is first asked for.
"""

from typing import TYPE_CHECKING

from sd3demo.engine.plan.memory import Budget
from sd3demo.engine.plan.plan import Plan, plan

if TYPE_CHECKING:
    from sd3demo.engine.run.engine import Engine

__all__ = ["Budget", "Engine", "Plan", "plan"]


def __getattr__(name: str) -> object:
    if name == "Engine":
        from sd3demo.engine.run.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
