"""The times that a run will use, listed beside what other conventions make of the same shift and steps.

`listing` is for any tab that has a plan.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import gradio as gr
from gradio.components import Component

from sd3demo.catalogue import find
from sd3demo.engine import Plan, plan
from sd3demo.engine.plan.device import budget
from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS, Convention, time_grid
from sd3demo.settings import Request, parse
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import Control
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.run_status import failed, status_html
from sd3demo.ui.run.wiring import at_once

USED_BY = {
    "uniform": "the papers, Flux, I-Max",
    "single": "shifted once from 1/1000",
    "diffusers": "diffusers, Stability's reference",
    "linear": "InvokeAI for SD3",
    "comfy": "ComfyUI, ‘simple’",
}
ASKED = ("model", "steps", "shift", "schedule", "width", "height")
"""The settings that the times of a run depend on."""


def listing(planned: Plan) -> str:
    """The plan's sigmas and the other conventions' as a table; the column in use is marked."""
    chosen, columns = planned.request.schedule, conventions(planned)
    heads = "".join(
        f"<th scope='col'{_mark(name, chosen)}>{name}{' ✓' if name == chosen else ''}"
        f"<small>{USED_BY[name]}</small></th>"
        for name in columns
    )
    rows = "".join(
        f"<tr><th scope='row'>{index}</th>"
        + "".join(f"<td{_mark(name, chosen)}>{columns[name][index]:.4f}</td>" for name in columns)
        + "</tr>"
        for index in range(len(planned.sigmas))
    )
    return (
        f"<div class='listing'><table><caption>σ before each step and at the end. The run gets the marked "
        f"column, to the last digit.</caption><thead><tr><th scope='col'>step</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def schedule_panel(core: Core, controls: Mapping[str, Control]) -> None:
    """The list of the times beside a tab's own controls, folded away; `controls` hold those of ASKED.

    It is written when it is unfolded and whenever one of them changes.
    """
    with gr.Accordion("Sigma table", open=False) as folder:
        place = gr.HTML(elem_id="run-sigmas")
    inputs: list[Component] = [controls[name] for name in ASKED]
    changed = [controls[name].change for name in ASKED]
    at_once([folder.expand, *changed], partial(listed, core), inputs, [place], raw=True)


def listed(core: Core, *values: object) -> str:
    """Return the sigma table for these values, or what is wrong with them."""
    try:
        return listing(schedule_plan(core, dict(zip(ASKED, values, strict=True))))
    except ValueError as error:
        return status_html(failed(sentence(error, titles(Request))))


def conventions(planned: Plan) -> dict[Convention, Sequence[float]]:
    """The plan's own sigmas under its convention, and what each other one makes of its steps and shift.

    A convention whose times would coincide is left out.
    """
    found: dict[Convention, Sequence[float]] = {}
    for name in CONVENTIONS:
        if name == planned.request.schedule:
            found[name] = planned.sigmas
            continue
        try:
            found[name] = time_grid(planned.request.steps, planned.request.shift, name).tolist()
        except ValueError:
            continue
    return found


def schedule_plan(core: Core, asked: Mapping[str, object]) -> Plan:
    """The plan of a run with these settings. Raises Refusal for a model that is not offered."""
    request = parse(Request, {"prompt": "-", **asked})
    if request.model not in core.models:
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    return plan(request, find(request.model), budget())


def _mark(name: str, chosen: str) -> str:
    return " class='used'" if name == chosen else ""
