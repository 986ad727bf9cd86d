"""`sd3demo plan`: what a request would do, here or on another machine, without doing it."""

from typing import Annotated

from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.plan.device import GPU_FLOPS, Device, budget
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.to_json import to_json
from sd3demo.settings import Prompt, Request, Settings, counted, parse
from sd3demo.settings.extrapolation import Extrapolation


class Question(Extrapolation):
    """A request whose prompt may stay open: no cost depends on the words.

    It is an extrapolation where something is said that only those have, such as a scale.
    """

    prompt: Prompt = Field("a picture", description="What the picture should show.")


class Elsewhere(Settings):
    """The device to plan for."""

    vram: Annotated[float, Field(ge=0.1, le=10_000)] | None = Field(
        None, description="Plan for a GPU with this many GiB free, in place of this machine."
    )
    device: Device = Field("auto", description="What computes.")


def show(question: Question, elsewhere: Elsewhere, report: Report) -> int:
    here = budget(elsewhere.device) if elsewhere.vram is None else _gpu(elsewhere.vram)
    made = plan(_asked(question), find(question.model), here)
    report.result(to_json(made), _text(made))
    return 0


def _asked(question: Question) -> Request:
    larger = question.model_fields_set - set(Request.model_fields)
    values = {name: getattr(question, name) for name in Request.model_fields}
    return question if larger else parse(Request, values)


def _gpu(gib: float) -> Budget:
    return Budget("cuda", int(gib * GIB), GPU_FLOPS)


def _text(made: Plan) -> str:
    request, here = made.request, made.budget
    lines = [
        f"{made.spec.name}, {request.count} x {request.width} x {request.height} px, {request.precision} on "
        f"{here.device} with {here.memory / GIB:.1f} GiB free",
        f"{counted(request.steps, 'step')} of {request.solver} at cfg {request.cfg:g}, "
        f"shift {request.shift:g} ({request.schedule}): {counted(made.calls, 'network call')}, at most "
        f"{counted(made.encoder_calls, 'encoder call')}",
        f"placement {made.placement}, {'fits' if made.fits else 'does NOT fit'}; about {made.seconds:.1f} s",
    ]
    lines += [
        f"  {phase:<7} {made.memory[phase] / GIB:8.2f} GiB {made.flops[phase] / 1e12:10.2f} TFLOP"
        for phase in made.memory
    ]
    if len(made.stages) > 1:
        lines += [
            f"  {stage.key}: {stage.width} x {stage.height}, {counted(stage.calls, 'network call')}, "
            f"about {stage.flops * request.count / here.flops:.1f} s"
            for stage in made.stages
        ]
    return "\n".join([*lines, *made.notes])


COMMAND = Command(show, (Question, Elsewhere), arguments=("prompt",))
