"""What a larger picture will take, before it is made: stages, calls, operations, memory, seconds. Pure."""

from collections.abc import Mapping
from html import escape

from sd3demo.catalogue import find
from sd3demo.engine import Plan
from sd3demo.engine import plan as plan_of
from sd3demo.engine.input_image import InputImage
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.stages import Arm, FlowStage, Stage
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui.context import Core
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.extrapolate.form import ExtrapolationForm, requested, with_all_methods
from sd3demo.ui.generate.story import seconds_text
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.run_status import failed, status_html
from sd3demo.ui.server.lighter import refuse_too_long
from sd3demo.ui.server.zerogpu import here

RECORDERS = ("lengths", "xray")


def planned(arms: Mapping[str, Extrapolation], core: Core, own: InputImage | None = None) -> Plan:
    """The plan of extrapolations that share their native stage, or a picture of one's own in its place.

    Raises Refusal with the first thing wrong.
    """
    *_, last = arms.values()
    if last.model not in core.models:  # a page does not open whatever folder its visitors name
        raise Refusal(f"unknown model {last.model!r}; choose one of {', '.join(core.models)}")
    extrapolation = plan_of(
        last, find(last.model), core.budget(here()), recorders=RECORDERS, arms=arms, own=own
    )
    refuse_unless_it_fits(extrapolation)
    refuse_too_long(extrapolation, core.limits)
    return extrapolation


def plan_html(core: Core, values: Mapping[str, object], own: InputImage | None = None) -> str:
    """What each button will take with what the controls hold, as HTML; a sentence where it cannot be."""
    given = {**values, "prompt": str(values.get("prompt") or "").strip() or "-"}  # it changes nothing here

    def plan_of_button(values: Mapping[str, object]) -> Plan:
        return planned(requested(values, own=own is not None), core, own)

    try:
        enlarge = plan_of_button(given)
    except Exception as error:
        return _refused(error)
    try:
        every: Plan | str = plan_of_button(with_all_methods(given))
    except Exception as error:
        every = _refused(error)
    return figures_html(enlarge, every)


def _refused(error: Exception) -> str:
    return status_html(failed(sentence(error, titles(ExtrapolationForm))))


def figures_html(plan: Plan, every: Plan | str) -> str:
    """The plans of both buttons as a table, with the stages of the first; a refused second one as it is."""
    plans = {"Enlarge": plan} | ({"All methods": every} if isinstance(every, Plan) else {})
    rows = "".join(_button_line(title, each) for title, each in plans.items())
    notes = "".join(f"<p>{escape(note[:1].upper() + note[1:])}.</p>" for note in plan.notes)
    lines = "".join(_line(plan, stage) for stage in plan.stages)
    where = f"estimated on this {plan.budget.device.upper()}, {plan.budget.memory / GIB:.0f} GiB free"
    return (
        '<div class="listing" role="region" aria-label="The plan" tabindex="0">'
        f"<table class='buttons'><caption>What each button takes, {where}.</caption><thead><tr>"
        "<th scope='col'>button</th><th scope='col'>pictures</th><th scope='col'>calls</th>"
        "<th scope='col'>operations</th><th scope='col'>memory</th><th scope='col'>time</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{'' if isinstance(every, Plan) else every}{notes}"
        '<details class="stages"><summary>Stages of Enlarge</summary>'
        '<div class="listing" role="region" aria-label="The stages" tabindex="0">'
        "<table><caption>In this order. All methods share the native picture and the text "
        "encoding.</caption><thead><tr>"
        "<th scope='col'>stage</th><th scope='col'>size</th><th scope='col'>steps</th>"
        "<th scope='col'>calls</th><th scope='col'>operations</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div></details>"
    )


def _button_line(title: str, plan: Plan) -> str:
    return (
        f"<tr><th scope='row'>{title}</th><td>{len(plan.arms)}</td><td>{plan.calls:,}</td>"
        f"<td>{flops(sum(plan.flops.values()))}</td><td>{max(plan.memory.values()) / GIB:.2f} GiB</td>"
        f"<td>{seconds_text(plan.seconds)}</td></tr>"
    )


def _line(plan: Plan, stage: Stage) -> str:
    steps = str(len(stage.sigmas) - 1) if isinstance(stage, FlowStage) else "–"
    return (
        f"<tr><th scope='row'>{escape(stage_title(plan, stage))}</th><td>{stage.width} × {stage.height}</td>"
        f"<td>{steps}</td><td>{stage.calls or '–'}</td><td>{flops(stage.flops)}</td></tr>"
    )


def stage_title(plan: Plan, stage: Stage) -> str:
    """A stage in words."""
    if stage.kind == "lift":
        return "Upscaled and encoded, as the guide"
    arm = next((arm for arm in plan.arms if arm.stage == stage.key), None)
    if arm is None:
        return f"On the way to {stage.width} × {stage.height}"
    return "Your picture" if stage.kind == "given" else arm_title(arm)


def arm_title(arm: Arm) -> str:
    """A picture in words."""
    return "Native" if arm.name == "native" else METHODS[arm.name].title


def flops(number: float) -> str:
    """Operations with their unit."""
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}FLOP"
    return "–" if number == 0 else f"{number:.0f} FLOP"
