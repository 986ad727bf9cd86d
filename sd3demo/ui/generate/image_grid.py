"""The grid below the Generate tab: two of its settings against each other, all else as the form says."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from pydantic import AfterValidator, Field

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine.events import Loading
from sd3demo.errors import Refusal
from sd3demo.history.sheet_receipts import sheet_of, sheet_png
from sd3demo.settings import Request, Settings, Text, bounds_of, choices_of, is_whole, quoted
from sd3demo.studies.grid import grid_plan as grids
from sd3demo.studies.grid.grid_plan import AXES, Grid, GridAxis, GridLoading, GridPicture, GridPlan, GridStep
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.controls import form
from sd3demo.ui.controls.deep_links import written
from sd3demo.ui.controls.labels import face
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.generate import image_grid_view as gridded
from sd3demo.ui.generate.stream import TITLES, sentence
from sd3demo.ui.run import status as words
from sd3demo.ui.run.stopping import stops, waits
from sd3demo.ui.run.wiring import at_once

NONE = "nothing"
PAUSE = 0.12  # seconds between two pictures of the whole grid
FIRST = ("cfg", "steps")
NAME = "grid.png"


def _side(name: str) -> str:
    if name not in AXES:
        raise ValueError(
            f"unknown setting {quoted(name)} for a side of the grid; choose one of {', '.join(AXES)}"
        )
    return name


Across = Annotated[str, AfterValidator(_side)]
Down = Annotated[str, AfterValidator(lambda name: name if name == NONE else _side(name))]


class Sides(Settings):
    """What a link says of the panel: whether it is open, and what varies."""

    grid: bool = Field(False, description="Whether the grid is open.")
    grid_x: Across = Field(FIRST[0], description="The setting that varies from left to right.")
    grid_across: Text = Field("", description="Its values.")
    grid_y: Down = Field(FIRST[1], description="The setting that varies from top to bottom.")
    grid_down: Text = Field("", description="Its values.")


def start(core: Core, asked: Mapping[str, object]) -> dict[str, object]:
    """What the form and the panel hold at first, with usual values of the sides that a link asks for."""
    x, y = str(asked.get("grid_x", FIRST[0])), str(asked.get("grid_y", FIRST[1]))
    across, down = (values_of(core, name, core.models[0]) for name in (x, y))
    plain = {name: field.default for name, field in Sides.model_fields.items()}
    return {**answers.start(core, asked), **plain, "grid_across": across, "grid_down": down}


def beside(core: Core, settings: Mapping[str, form.Control]) -> tuple[dict[str, Component], Dependency]:
    """The panel: what varies, and the grid, over the settings of the form. Its controls, and the run."""
    shown = gr.Checkbox(False, visible="hidden")
    spec = find(core.models[0])
    titles = [("Model (depth)" if name == "model" else face(name).title, name) for name in AXES]
    with gr.Accordion("Grid: two settings against each other", open=False, elem_id="grid") as panel:
        with gr.Row(elem_id="grid-sides"):
            x = gr.Dropdown(
                titles,
                value=FIRST[0],
                label="From left to right",
                info="The setting that varies along each row.",
                elem_id="grid-x",
            )
            across = _values(usual(FIRST[0], spec), "grid-across")
            y = gr.Dropdown(
                [("Nothing", NONE), *titles],
                value=FIRST[1],
                label="From top to bottom",
                info="The setting that varies along each column.",
                elem_id="grid-y",
            )
            down = _values(usual(FIRST[1], spec), "grid-down")
        with gr.Row(elem_id="grid-buttons"):
            start = gr.Button("Make the grid", variant="primary", elem_id="grid-run", scale=0, min_width=160)
            stop = gr.Button("Stop", elem_id="grid-stop", scale=0, min_width=80)
        status = gr.HTML(elem_id="grid-status")
        sheet = gr.HTML(gridded.EMPTY, elem_id="grid-sheet")
        file = gr.File(visible=False)

    for moved, is_open in ((panel.expand, "true"), (panel.collapse, "false")):
        moved(None, None, [shown], js=f"() => {is_open}", api_visibility="private")
    at_once([shown.change], lambda is_open: gr.Accordion(open=is_open), [shown], [panel])
    controls = [settings[name] for name in answers.NAMES]
    for choice, values in ((x, across), (y, down)):
        at_once([choice.input], partial(values_of, core), [choice, settings["model"]], [values], raw=True)
    waits([start.click], status)
    run = start.click(
        partial(run_grid, core),
        [x, across, y, down, *controls],
        [status, sheet, file],
        preprocess=False,
        show_progress="minimal",
        show_progress_on=status,
        concurrency_limit=1,
        concurrency_id="model",
        api_visibility="private",
    )
    stops(stop, [run], status, stopped, [status], [status])
    return {"grid": shown, "grid_x": x, "grid_across": across, "grid_y": y, "grid_down": down}, run


def run_grid(core: Core, x: str, across: str, y: str, down: str, *values: object) -> Iterator[list[object]]:
    """The grid that the panel asks for: its status, its cells as they form, and its file at the end."""
    nothing = [gr.skip(), gr.skip()]
    yield [words.waking(), *nothing]
    try:
        base = dict(zip(answers.NAMES, values, strict=True))
        grid = Grid(_axis(x, across), _axis(y, down) if y and y != NONE else None)
        made = grids.plan_grid(grid, base, partial(prepare, core=core))
        with closing(grids.run(made, core.together or grids.one_by_one(core.run))) as news:
            sides = {"grid": True, "grid_x": x, "grid_across": across, "grid_y": y, "grid_down": down}
            yield from _shown(core, made, news, sides)
    except Exception as error:
        yield [words.failed(sentence(error, TITLES)), *nothing]


def usual(name: str, spec: ModelSpec) -> str:
    """Values to begin with: every choice, or numbers about the model's own."""
    field = Request.model_fields[name]
    names, bounds = choices_of(field), bounds_of(field)
    own = form.opening(spec).get(name)
    if not bounds or not isinstance(own, int | float):
        return ", ".join(names) if names else str(own)
    low, high = bounds
    around = [own / 4, own / 2, own, own * 2]
    if own == low:
        around = [low, 0.25, 0.5, high] if high <= 1 else [own, own + 1, own + 2, own + 3]
    found = [min(max(round(value) if is_whole(field) else value, low), high) for value in around]
    if name in ("width", "height"):
        unit = spec.latent.multiple
        found = [min(max(int(value) // unit, 1) * unit, spec.can.max_side) for value in found]
    return ", ".join(f"{value:.12g}" for value in dict.fromkeys(found))


def values_of(core: Core, name: str, model: str) -> object:
    """The values that a newly chosen setting begins with."""
    if name == "model":
        return ", ".join(one for one in core.models if form.is_here(find(one)))
    return usual(name, find(model)) if name in AXES else ""


def stopped(status: str) -> object:
    """What is said when Stop was pressed."""
    if "<progress" not in (status or "") or words.WAITING in status:
        return answers.turned_away(status)
    return '<p class="done" role="status">Stopped. What is finished can be used; the file was not made.</p>'


def _values(text: str, elem_id: str) -> gr.Textbox:
    info = "With commas between them."
    return gr.Textbox(text, label="Its values", info=info, elem_id=elem_id, max_lines=1)


def _axis(name: str, values: str) -> GridAxis:
    found = tuple(value.strip() for value in (values or "").split(",") if value.strip())
    return grids.check_axis(GridAxis(name, found))


def _shown(
    core: Core, made: GridPlan, news: Iterator[grids.GridEvent], sides: Mapping[str, object]
) -> Iterator[list[object]]:
    tiles: dict[int, gridded.Tile] = {}
    ended: dict[int, GridPicture] = {}
    started = told = time.perf_counter()
    steps = 0
    for one in news:
        match one:
            case GridLoading(event=event):
                said = (
                    words.loading(event.model, event.bytes) if isinstance(event, Loading) else words.waking()
                )
                yield [said, gr.skip(), gr.skip()]
                continue
            case GridStep(cells=cells, event=step):
                steps += 1
                tiles |= dict.fromkeys(cells, gridded.Tile(gridded.uri(step.previews[0])))
            case GridPicture(cells=cells, plan=plan, finished=finished):
                ended[made.places[cells[0]]] = one
                request = plan.request
                link = written("generate", {**request.model_dump(), **sides}, partial(start, core))
                (kept,) = answers.keep(request, finished)
                tiles |= dict.fromkeys(cells, gridded.Tile(kept.source, link))
        if isinstance(one, GridPicture) or time.perf_counter() - told > PAUSE:
            told = time.perf_counter()
            yield [gridded.progress(made, steps, len(ended)), gridded.table(made.grid, tiles), gr.skip()]
    path = _keep(made, [ended[place] for place in range(len(made.plans))])
    source = answers.source_of(path)
    said = gridded.finished(made, source, NAME, time.perf_counter() - started)
    yield [said, gridded.table(made.grid, tiles), path]


def _keep(made: GridPlan, ended: Sequence[GridPicture]) -> str:
    """The grid as one file, where gradio serves it."""
    from sd3demo.studies.grid.sheet import draw_sheet

    x, y = made.grid.x, made.grid.y
    pictures = {cell: ended[place].finished.pictures[0] for cell, place in enumerate(made.places)}
    drawn = draw_sheet(made.grid, pictures, made.plans[0].request.prompt)
    receipt = sheet_of(
        (x.name, x.values),
        (y.name, y.values) if y else None,
        [(each.plan.request, each.finished) for each in ended],
        places=made.places,
        corners=drawn.corners,
        scale=drawn.scale,
    )
    try:
        return save_bytes_to_cache(sheet_png(drawn.pixels, receipt), NAME, get_upload_folder())
    except OSError as error:
        raise Refusal(f"cannot write the grid: {error.strerror}; the page needs free space") from error
