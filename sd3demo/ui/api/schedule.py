"""`/schedule`, the endpoint that lists the noise levels of a run, and what other conventions make of them."""

from collections.abc import Mapping
from typing import TypedDict

from pydantic import JsonValue

from sd3demo.settings import Request
from sd3demo.ui.api.endpoint import ApiEndpoint
from sd3demo.ui.api.parameters import of_field, settings_of
from sd3demo.ui.api.plan import MODEL
from sd3demo.ui.context import Core
from sd3demo.ui.densities.schedule_table import conventions, schedule_plan


class ScheduleAnswer(TypedDict):
    """What `/schedule` answers: `sigmas` is what the sampler gets, `others` what it would get elsewhere."""

    steps: int
    shift: float
    schedule: str
    sigmas: list[float]
    others: dict[str, list[float]]


def schedule(core: Core) -> ApiEndpoint:
    """The endpoint of sigmas."""

    def answer(values: Mapping[str, JsonValue]) -> ScheduleAnswer:
        plan = schedule_plan(core, {"model": core.models[0], **settings_of(values, Request, names={})})
        return ScheduleAnswer(
            steps=plan.request.steps,
            shift=plan.request.shift,
            schedule=plan.request.schedule,
            sigmas=list(plan.sigmas),
            others={
                str(name): list(times)
                for name, times in conventions(plan).items()
                if name != plan.request.schedule
            },
        )

    names = ("steps", "shift", "schedule", "width", "height")
    return ApiEndpoint(
        "schedule",
        "Lists the noise levels that a run will use, and those of the other conventions for the same shift.",
        (*(of_field(Request, name, names={}) for name in names), MODEL),
        {"Schedule": ScheduleAnswer},
        answer,
        names={},
    )
