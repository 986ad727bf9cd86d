"""The times that a run will use, listed beside what other conventions make of the same shift and steps.

`listing` is for any tab that has a plan; `schedule` is the endpoint for programs.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypedDict

import gradio as gr
from gradio.components import Component
from gradio.events import api

from sd3demo.catalogue import find
from sd3demo.engine import Plan, plan
from sd3demo.engine.plan.device import budget
from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS, Convention, time_grid
from sd3demo.settings import Request, parse
from sd3demo.ui.context import Core
from sd3demo.ui.controls import form
from sd3demo.ui.generate.stream import TITLES, sentence
from sd3demo.ui.run import status as words
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


class Schedule(TypedDict):
    """What `/schedule` answers: `sigmas` is what the sampler gets, `others` what it would get elsewhere."""

    steps: int
    shift: float
    schedule: str
    sigmas: list[float]
    others: dict[str, list[float]]


def listing(made: Plan) -> str:
    """The plan's sigmas and the other conventions' as a table; the column in use is marked."""
    chosen, columns = made.request.schedule, conventions(made)
    heads = "".join(
        f"<th scope='col'{_mark(name, chosen)}>{name}{' ✓' if name == chosen else ''}"
        f"<small>{USED_BY[name]}</small></th>"
        for name in columns
    )
    rows = "".join(
        f"<tr><th scope='row'>{index}</th>"
        + "".join(f"<td{_mark(name, chosen)}>{columns[name][index]:.4f}</td>" for name in columns)
        + "</tr>"
        for index in range(len(made.sigmas))
    )
    return (
        f"<div class='listing'><table><caption>σ before each step and at the end. The run gets the marked "
        f"column, to the last digit.</caption><thead><tr><th scope='col'>step</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def beside(core: Core, controls: Mapping[str, form.Control]) -> None:
    """The list of the times beside a tab's own controls, folded away; `controls` hold those of ASKED.

    It is written when it is unfolded and whenever one of them changes.
    """
    with gr.Accordion("Times of the run", open=False) as folder:
        place = gr.HTML(elem_id="run-sigmas")
    inputs: list[Component] = [controls[name] for name in ASKED]
    changed = [controls[name].change for name in ASKED]
    at_once([folder.expand, *changed], partial(listed, core), inputs, [place], raw=True)


def listed(core: Core, *values: object) -> str:
    """What `beside` shows: the times of the run that these values ask for, or what is wrong with them."""
    try:
        return listing(_planned(core, dict(zip(ASKED, values, strict=True))))
    except ValueError as error:
        return words.failed(sentence(error, TITLES))


def conventions(made: Plan) -> dict[Convention, Sequence[float]]:
    """The plan's own sigmas under its convention, and what each other one makes of its steps and shift.

    A convention whose times would coincide is left out.
    """
    found: dict[Convention, Sequence[float]] = {}
    for name in CONVENTIONS:
        if name == made.request.schedule:
            found[name] = made.sigmas
            continue
        try:
            found[name] = time_grid(made.request.steps, made.request.shift, name).tolist()
        except ValueError:
            continue
    return found


def schedule(core: Core) -> None:
    """The endpoint `/schedule`."""

    def schedule(
        steps: int | None = None,
        shift: float | str | None = None,
        schedule: str | None = None,
        width: int | None = None,
        height: int | None = None,
        model: str | None = None,
    ) -> Schedule:
        """Lists the noise levels that a run will use, and those of the other conventions for the same shift.

        Args:
            steps: Steps of the sampler; the model's own number by default.
            shift: A number, or "auto" for what the size asks for (eq. 23); the model's own by default.
            schedule: "uniform", "single", "diffusers", "linear" or "comfy"; the model's own by default.
            width: In pixels, which "auto" reads; the model's native size by default.
            height: In pixels, which "auto" reads; the model's native size by default.
            model: A model that the page offers; the first by default.
        """
        asked = {"model": model or core.models[0], "steps": steps, "shift": shift}
        try:
            made = _planned(core, asked | {"schedule": schedule, "width": width, "height": height})
        except ValueError as error:
            raise gr.Error(sentence(error, {}), print_exception=False) from error
        return Schedule(
            steps=made.request.steps,
            shift=made.request.shift,
            schedule=made.request.schedule,
            sigmas=list(made.sigmas),
            others={
                str(name): list(times)
                for name, times in conventions(made).items()
                if name != made.request.schedule
            },
        )

    api(schedule, api_name="schedule", queue=False)


def _planned(core: Core, asked: Mapping[str, object]) -> Plan:
    """The plan of a run with these settings. Raises Refusal for a model that is not offered."""
    request = parse(Request, {"prompt": "-", **asked})
    if request.model not in core.models:
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    return plan(request, find(request.model), budget())


def _mark(name: str, chosen: str) -> str:
    return " class='used'" if name == chosen else ""
