"""The X/Y grid under the picture of the Generate tab: two settings against each other.

All else is as the form says. A side can be a word of the prompt too: `red, blue, green` puts each of the
three where the first stands.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated

import gradio as gr
from gradio.components import Component
from pydantic import AfterValidator, Field

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine.events import Loading
from sd3demo.history.sheet_receipts import sheet_of, sheet_png
from sd3demo.settings import Request, Resolved, Settings, Text, bounds_of, choices_of, is_whole, quoted
from sd3demo.studies.grid import grid_plan as grids
from sd3demo.studies.grid.grid_plan import (
    AXES,
    REPLACE,
    TEXTS,
    Grid,
    GridAxis,
    GridLoading,
    GridPicture,
    GridPlan,
    GridStep,
    replaced,
)
from sd3demo.ui.context import prepare
from sd3demo.ui.controls import build
from sd3demo.ui.controls.build import Control
from sd3demo.ui.controls.deep_links import written
from sd3demo.ui.controls.labels import label, titles
from sd3demo.ui.controls.model_choice import is_here
from sd3demo.ui.generate import image_grid_view as view
from sd3demo.ui.generate.handlers import GenerateHandlers
from sd3demo.ui.generate.stream import finished_result
from sd3demo.ui.run.as_code_view import grid_as_code_html
from sd3demo.ui.run.files import write_pictures
from sd3demo.ui.run.own_picture import pictures_by_name
from sd3demo.ui.run.picture_verdicts import verdicts_of
from sd3demo.ui.run.pictures import uri
from sd3demo.ui.run.run_status import STARTING, RunStatus, finished, run_status, running, waiting
from sd3demo.ui.run.turns import checked, join, kept_by
from sd3demo.ui.run.visit import Visit
from sd3demo.ui.run.wiring import QueuedRun, at_once, run_in_queue, stop_runs
from sd3demo.ui.server.gradio_internals import ServedFile, write_served_file
from sd3demo.ui.server.ticket import Waiting

NOTHING = "nothing"
PAUSE = 0.12  # seconds between two pictures of the whole grid
AXES_AT_FIRST = ("cfg", "steps")
FILE_NAME = "grid.png"
COLOURS = ("red", "blue", "green", "yellow")
"""What a colour of the prompt is replaced by at first."""
STOPPED = "Stopped. Finished pictures can be used; the file was not written."


def _axis_name(name: str) -> str:
    if name not in AXES:
        raise ValueError(
            f"unknown setting {quoted(name)} for a side of the grid; choose one of {', '.join(AXES)}"
        )
    return name


Across = Annotated[str, AfterValidator(_axis_name)]
Down = Annotated[str, AfterValidator(lambda name: name if name == NOTHING else _axis_name(name))]


class GridSettings(Settings):
    """What a link says of the grid: whether it is open, and what varies."""

    grid: bool = Field(False, description="Whether the grid is open.")
    grid_x: Across = Field(AXES_AT_FIRST[0], description="The setting that varies from left to right.")
    grid_across: Text = Field("", description="Its values.")
    grid_y: Down = Field(AXES_AT_FIRST[1], description="The setting that varies from top to bottom.")
    grid_down: Text = Field("", description="Its values.")


def start(answers: GenerateHandlers, asked: Mapping[str, object]) -> dict[str, object]:
    """What the form and the grid hold at first, with usual values of the axes that a link asks for."""
    x, y = (
        str(asked.get(name, first)) for name, first in zip(("grid_x", "grid_y"), AXES_AT_FIRST, strict=True)
    )
    models, prompt = answers.core.models, str(asked.get("prompt", ""))
    across, down = (values_of(models, name, models[0], prompt) for name in (x, y))
    plain = {name: field.default for name, field in GridSettings.model_fields.items()}
    return {**answers.start(asked), **plain, "grid_across": across, "grid_down": down}


def grid_panel(
    answers: GenerateHandlers,
    settings: Mapping[str, Control],
    visit: gr.State,
    uploaded: Sequence[gr.State] = (),
) -> tuple[dict[str, Component], QueuedRun]:
    """The panel: what varies, and the grid, over the settings of the form. Its controls, and the run."""
    models = answers.core.models
    spec = find(models[0])
    is_open = gr.Checkbox(False, visible="hidden")
    axes = [("Model (depth)" if name == "model" else label(name).title, name) for name in AXES]
    with gr.Accordion("Grid: settings or words against each other", open=False, elem_id="grid") as panel:
        x = _axis(axes, "grid_x", "What varies along each row.")
        across = _values(usual(AXES_AT_FIRST[0], spec), "grid_across")
        y = _axis([("Nothing", NOTHING), *axes], "grid_y", "What varies along each column.")
        down = _values(usual(AXES_AT_FIRST[1], spec), "grid_down")
        with gr.Row(elem_id="grid-buttons"):
            make = gr.Button("Make the grid", variant="primary", elem_id="grid-run", scale=0, min_width=160)
            stop = gr.Button("Stop", elem_id="grid-stop", scale=0, min_width=80)
        status = gr.HTML(elem_id="grid-status")
        sheet = gr.HTML(view.EMPTY, elem_id="grid-sheet")

    for moved, now in ((panel.expand, "true"), (panel.collapse, "false")):
        moved(None, None, [is_open], js=f"() => {now}", api_visibility="private")
    at_once([is_open.change], lambda now: gr.Accordion(open=now), [is_open], [panel])
    for axis, values in ((x, across), (y, down)):
        asked = [axis, settings["model"], settings["prompt"]]
        at_once([axis.input], partial(values_of, models), asked, [values], raw=True)
    run = run_in_queue(
        [make.click],
        partial(run_grid, answers),
        [visit, x, across, y, down, *(settings[name] for name in answers.names), *uploaded],
        [sheet],
        status=status,
        titles=titles(answers.kind),
    )
    stop_runs(stop, [run], ended=lambda _: [STOPPED])
    return {"grid": is_open, "grid_x": x, "grid_across": across, "grid_y": y, "grid_down": down}, run


def run_grid(
    answers: GenerateHandlers, visit: Visit, x: str, across: str, y: str, down: str, *values: object
) -> Iterator[tuple[RunStatus, list[object]]]:
    """The grid that the panel asks for: its cells as they form, and its file at the end."""
    core, base = answers.core, answers.given(values)
    base["prompt"] = str(base["prompt"]).strip() or label("prompt").hint
    grid = Grid(_grid_axis(x, across), _grid_axis(y, down) if y and y != NOTHING else None)
    with pictures_by_name(base):
        planned = grids.plan_grid(grid, base, partial(prepare, core=core, kind=answers.kind))
        common = prepare(base, core, answers.kind).request
    sides = {"grid": True, "grid_x": x, "grid_across": across, "grid_y": y, "grid_down": down}
    seconds = sum(plan.seconds for plan in planned.plans)
    words, kept = "fewer values on the sides of the grid", kept_by(planned.plans)
    with join(core, seconds, lambda _: words, keeps=kept) as ticket:
        for place in ticket.waiting():
            yield waiting(place), [gr.skip()]
        with closing(grids.run(planned, core.together or grids.one_by_one(core.run))) as news:
            yield from _shown(answers, visit, planned, checked(ticket, news), sides, common)


def usual(name: str, spec: ModelSpec) -> str:
    """Values to begin with: every choice, or numbers about the model's own."""
    field = Request.model_fields[name]
    names, bounds = choices_of(field), bounds_of(field)
    own = build.opening(spec).get(name)
    if not bounds or not isinstance(own, int | float):
        return ", ".join(names) if names else str(own)
    low, high = bounds
    around = [own / 4, own / 2, own, own * 2]
    if own == low:
        around = [low, 0.25, 0.5, high] if high <= 1 else [own, own + 1, own + 2, own + 3]
    found = [min(max(round(value) if is_whole(field) else value, low), high) for value in around]
    if name in build.SIDES:
        multiple, longest = spec.latent.multiple, spec.can.max_side
        found = [min(max(int(value) // multiple, 1) * multiple, longest) for value in found]
    return ", ".join(f"{value:.12g}" for value in dict.fromkeys(found))


def values_of(models: Sequence[str], name: str, model: str, prompt: str = "") -> str:
    """The values that a newly chosen setting begins with."""
    if name == "model":
        return ", ".join(one for one in models if is_here(find(one)))
    if name in TEXTS or name == REPLACE:
        return _usual_texts(name, prompt.strip() or label("prompt").hint)
    return usual(name, find(model)) if name in AXES else ""


def _usual_texts(name: str, prompt: str) -> str:
    """Prompts or words to begin with, beside those of the form."""
    words = re.findall(r"\w+", prompt)
    word = next((word for word in words if word in COLOURS), max(words, key=len, default=""))
    others = [colour for colour in COLOURS if colour != word][:2]
    if name == REPLACE:
        return ", ".join((word, *others))
    if name == "negative":
        return f", {word}"
    changed = (replaced(prompt, word, by).replace('"', '""') for by in (word, others[0]) if word)
    return ", ".join(f'"{one}"' for one in changed)


def _axis(choices: list[tuple[str, str]], name: str, info: str) -> gr.Dropdown:
    value: str = GridSettings.model_fields[name].default
    elem_id = name.replace("_", "-")
    return gr.Dropdown(choices, value=value, label=label(name).title, info=info, elem_id=elem_id)


def _values(text: str, name: str) -> gr.Textbox:
    return gr.Textbox(
        text,
        label=label(name).title,
        info="Separated by commas; of a word, it and what replaces it.",
        elem_id=name.replace("_", "-"),
        max_lines=1,
    )


def _grid_axis(name: str, values: str) -> GridAxis:
    return grids.check_axis(GridAxis(name, grids.values_in(name, values or "")))


def _shown(
    answers: GenerateHandlers,
    visit: Visit,
    planned: GridPlan,
    news: Iterator[grids.GridEvent | Waiting],
    sides: Mapping[str, object],
    common: Resolved,
) -> Iterator[tuple[RunStatus, list[object]]]:
    tiles: dict[int, view.Tile] = {}
    ended: dict[int, GridPicture] = {}
    started = shown_at = time.perf_counter()
    steps, total = 0, sum(len(plan.sigmas) - 1 for plan in planned.plans)
    for one in news:
        match one:
            case Waiting():
                yield waiting(one), [gr.skip()]
                continue
            case GridLoading(event=event):
                status = run_status(event) if isinstance(event, Loading) else None
                yield status or STARTING, [gr.skip()]
                continue
            case GridStep(cells=cells, event=step):
                steps += 1
                tiles |= dict.fromkeys(cells, view.Tile(uri(step.previews[0])))
            case GridPicture(cells=cells, plan=plan, finished=result):
                ended[planned.places[cells[0]]] = one
                settings = {name: getattr(plan.request, name) for name in answers.names} | dict(sides)
                link = written("generate", settings, partial(start, answers))
                (file,) = write_pictures(plan.request, result)
                (verdict,) = verdicts_of(plan.request, result.pictures)
                visit.remember(finished_result(plan, result, file, verdict, link))  # a click shows it
                tiles |= dict.fromkeys(cells, view.Tile(file.source, link, verdict))
        if isinstance(one, GridPicture) or time.perf_counter() - shown_at > PAUSE:
            shown_at = time.perf_counter()
            text = view.progress_text(planned, steps, total, len(ended))
            yield running(text, step=steps, count=total), [view.table(planned.grid, tiles)]
    sheet = write_sheet(planned, [ended[place] for place in range(len(planned.plans))])
    text = view.done_text(planned, sheet, time.perf_counter() - started)
    yield finished(text), [view.table(planned.grid, tiles) + grid_as_code_html(common, planned.grid)]


def write_sheet(planned: GridPlan, ended: Sequence[GridPicture]) -> ServedFile:
    """The grid as one file; `ended` are its pictures in the order of their plans."""
    from sd3demo.studies.grid.sheet import draw_sheet

    x, y = planned.grid.x, planned.grid.y
    pictures = {cell: ended[place].finished.pictures[0] for cell, place in enumerate(planned.places)}
    drawn = draw_sheet(planned.grid, pictures, planned.plans[0].request.prompt)
    receipt = sheet_of(
        (x.name, x.values),
        (y.name, y.values) if y else None,
        [(each.plan.request, each.finished) for each in ended],
        places=planned.places,
        corners=drawn.corners,
        scale=drawn.scale,
    )
    return write_served_file(sheet_png(drawn.pixels, receipt), FILE_NAME)
