"""`sd3demo plan`: what a request would do, on this machine or another, without doing it."""

from typing import Annotated

from pydantic import Field, model_validator

from sd3demo.catalogue import find
from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.plan.device import GPU_FLOPS, Device, budget
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.to_json import to_json
from sd3demo.settings import Prompt, Request, Settings, counted, parse
from sd3demo.settings.extrapolation import Extrapolation


class PlanArguments(Extrapolation):
    """A request whose prompt may stay open: no cost depends on the words.

    It is an extrapolation where a setting is given that only those have, such as a scale.
    """

    prompt: Prompt = Field("a picture", description="What the picture should show.")

    @model_validator(mode="before")
    @classmethod
    def _strength_of_generate(cls, values: dict[str, object]) -> dict[str, object]:
        """A strength that is a number is what `generate` calls so: that of a picture to start from."""
        given = str(values.get("strength", ""))
        if "image_strength" in values or not given.replace(".", "", 1).isdigit():
            return values
        return {name: value for name, value in values.items() if name != "strength"} | {
            "image_strength": given
        }


class PlanDevice(Settings):
    """The device to plan for."""

    vram: Annotated[float, Field(ge=0.1, le=10_000)] | None = Field(
        None, description="Plan for a GPU with this many GiB free, in place of this machine."
    )
    device: Device = Field("auto", description="The device to compute on.")


def show_plan(arguments: PlanArguments, device: PlanDevice, report: Report) -> int:
    available = budget(device.device) if device.vram is None else _gpu(device.vram)
    run_plan = plan(_request(arguments), find(arguments.model), available)
    report.result(to_json(run_plan), _text(run_plan))
    return 0


def _request(arguments: PlanArguments) -> Request:
    is_larger = arguments.model_fields_set - set(Request.model_fields)
    values = {name: getattr(arguments, name) for name in Request.model_fields}
    return arguments if is_larger else parse(Request, values)


def _gpu(gib: float) -> Budget:
    return Budget("cuda", int(gib * GIB), GPU_FLOPS)


def _text(run_plan: Plan) -> str:
    request, available = run_plan.request, run_plan.budget
    lines = [
        f"{run_plan.spec.name}, {request.count} x {request.width} x {request.height} px, {request.precision} "
        f"on {available.device} with {available.memory / GIB:.1f} GiB free",
        f"{counted(request.steps, 'step')} of {request.solver} at cfg {request.cfg:g}, "
        f"shift {request.shift:g} ({request.schedule}): {counted(run_plan.calls, 'network call')}, at most "
        f"{counted(run_plan.encoder_calls, 'encoder call')}",
        f"placement {run_plan.placement}, {'fits' if run_plan.fits else 'does NOT fit'}; "
        f"about {run_plan.seconds:.1f} s",
    ]
    lines += [
        f"  {phase:<7} {run_plan.memory[phase] / GIB:8.2f} GiB {run_plan.flops[phase] / 1e12:10.2f} TFLOP"
        for phase in run_plan.memory
    ]
    if len(run_plan.stages) > 1:
        lines += [
            f"  {stage.key}: {stage.width} x {stage.height}, {counted(stage.calls, 'network call')}, "
            f"about {stage.flops * request.count / available.flops:.1f} s"
            for stage in run_plan.stages
        ]
    return "\n".join([*lines, *run_plan.notes])


COMMAND = Command(show_plan, (PlanArguments, PlanDevice), arguments=("prompt",))
