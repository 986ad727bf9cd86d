"""`/plan`, the endpoint that says what a request will do, without doing it."""

from collections.abc import Mapping

from pydantic import JsonValue

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan
from sd3demo.engine import plan as plan_of
from sd3demo.engine.plan.device import GPU_FLOPS
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.to_json import to_json
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui.api.endpoint import ApiEndpoint
from sd3demo.ui.api.parameters import ApiParameter, of_settings, settings_of
from sd3demo.ui.api.picture_inputs import PICTURES, sent_pictures
from sd3demo.ui.context import Core, refuse_other_loras
from sd3demo.ui.run.own_picture import picture_limits
from sd3demo.ui.server.lighter import refuse_too_long
from sd3demo.ui.server.zerogpu import here

MODEL = ApiParameter("model", str | None, "Model", "A model that the page offers; the first by default.")
PROMPT = ApiParameter(
    "prompt", str, "Prompt", "What the picture should show; no cost depends on it.", "a picture"
)
VRAM = ApiParameter(
    "vram",
    float | None,
    "GPU memory",
    "Plan for a GPU with this many GiB free, in place of this machine.",
)
MOST_VRAM = 10_000  # GiB


def plan(core: Core) -> ApiEndpoint:
    """The endpoint of plans."""

    def answer(values: Mapping[str, JsonValue]) -> dict[str, object]:
        with sent_pictures(values) as pictures:
            settings = settings_of(values, Extrapolation) | pictures
            plan = planned(core, settings, _budget(core, values["vram"]))
        if values["vram"] is None:  # for this machine
            refuse_too_long(plan, core.limits)
        return to_json(plan)

    first = (PROMPT, "width", "height", "cfg", "steps", "shift", "schedule", "solver", "t5", "count")
    return ApiEndpoint(
        "plan",
        "Says what a request will do, without doing it: stages, sigmas, network calls, memory and seconds.",
        (*of_settings(Extrapolation, (*first, "scale", "method", MODEL, VRAM)), *PICTURES),
        {"Plan": dict[str, object]},
        answer,
    )


def planned(core: Core, settings: Mapping[str, JsonValue], budget: Budget) -> Plan:
    """The plan of settings, an extrapolation where one of its own is among them.

    Raises Refusal for a model that is not offered.
    """
    large = not settings.keys() <= Request.model_fields.keys()
    request = parse(Extrapolation if large else Request, {"model": core.models[0], **settings})
    if request.model not in core.models:
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    refuse_other_loras(request)
    return plan_of(request, find(request.model), budget, limits=picture_limits(core.limits))


def _budget(core: Core, vram: JsonValue) -> Budget:
    if vram is None:
        return core.budget(here())
    if not isinstance(vram, int | float) or not 0.1 <= vram <= MOST_VRAM:
        raise Refusal(f"vram is {vram}; it must lie in [0.1, {MOST_VRAM}]")
    return Budget("cuda", int(vram * GIB), GPU_FLOPS)
