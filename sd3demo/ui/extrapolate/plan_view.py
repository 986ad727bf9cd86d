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
from sd3demo.ui.extrapolate.form import ExtrapolationForm, requested
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
    """The plan of what the controls hold, as HTML; a sentence where it cannot be."""
    prompt = str(values.get("prompt") or "").strip() or "-"  # it changes nothing that is told here
    try:
        return figures_html(planned(requested({**values, "prompt": prompt}, own=own is not None), core, own))
    except Exception as error:
        return status_html(failed(sentence(error, titles(ExtrapolationForm))))


def figures_html(plan: Plan) -> str:
    """A plan as figures and a row for each stage."""
    most = max(plan.memory.values()) / GIB
    rows = {
        "Calls": (f"{plan.calls:,}", "of the network"),
        "Operations": (flops(sum(plan.flops.values())), "counted from shapes"),
        "Memory": (f"{most:.2f} GiB", f"of {plan.budget.memory / GIB:.0f} free: it fits"),
        "Time": (f"about {seconds_text(plan.seconds)}", f"on this {plan.budget.device.upper()}, estimated"),
    }
    figures = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    notes = "".join(f"<p>{escape(note[:1].upper() + note[1:])}.</p>" for note in plan.notes)
    lines = "".join(_line(plan, stage) for stage in plan.stages)
    return (
        f'<dl class="figures plan">{figures}</dl>{notes}<div class="listing" role="region" '
        'aria-label="The plan" tabindex="0">'
        "<table><caption>The stages, in this order. All methods share the native picture and the text "
        "encoding.</caption><thead><tr>"
        "<th scope='col'>stage</th><th scope='col'>size</th><th scope='col'>steps</th>"
        "<th scope='col'>calls</th><th scope='col'>operations</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
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
