"""`/grid`, the endpoint of an X/Y grid: two settings or words varied, a picture a cell, all in one PNG."""

from collections.abc import Mapping
from contextlib import closing
from functools import partial

import gradio as gr
from pydantic import JsonValue

from sd3demo.settings import Request
from sd3demo.studies.grid import grid_plan as grids
from sd3demo.studies.grid.grid_plan import AXIS_HELP, Grid, GridAxis, GridPicture, axis
from sd3demo.ui.api.endpoint import ApiEndpoint
from sd3demo.ui.api.infer import ONE_PICTURE
from sd3demo.ui.api.parameters import NAMES, ApiParameter, of_settings, settings_of
from sd3demo.ui.api.plan import MODEL
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.generate.image_grid import write_sheet
from sd3demo.ui.run.turns import checked, join, kept_by

AXES = (
    ApiParameter("x", str, "From left to right", f"What varies along each row: {AXIS_HELP}", required=True),
    ApiParameter(
        "y",
        str,
        "From top to bottom",
        "What varies along each column, written as x; empty is one row.",
        "",
    ),
)


def grid(core: Core) -> ApiEndpoint:
    """The endpoint of grids."""

    def answer(values: Mapping[str, JsonValue]) -> gr.FileData:
        down = str(values["y"] or "")
        sides = Grid(_axis(str(values["x"])), _axis(down) if down else None)
        base = {"model": core.models[0], **settings_of(values, Request)}
        planned = grids.plan_grid(sides, base, partial(prepare, core=core))
        ended: dict[int, GridPicture] = {}
        seconds = sum(plan.seconds for plan in planned.plans)
        words, kept = "fewer values along the sides", kept_by(planned.plans)
        with join(core, seconds, lambda _: words, keeps=kept) as ticket:
            for _ in ticket.waiting():
                pass
            with closing(grids.run(planned, core.together or grids.one_by_one(core.run))) as news:
                for one in checked(ticket, news):
                    if isinstance(one, GridPicture):
                        ended[planned.places[one.cells[0]]] = one
        file = write_sheet(planned, [ended[place] for place in range(len(planned.plans))])
        return gr.FileData(path=file.path, orig_name=file.name)

    return ApiEndpoint(
        "grid",
        "Makes an X/Y grid, a picture a cell, from two settings or words of the prompt that vary; returns it "
        "as one PNG with the receipt of every cell. It stops within a step of being cancelled, or of its "
        "client going away.",
        of_settings(Request, ("prompt", *AXES, "negative", "seed", MODEL), without=ONE_PICTURE),
        {"Picture": gr.FileData},
        answer,
        queued=True,
    )


def _axis(text: str) -> GridAxis:
    """The axis of a text, whose setting may have the name that it has as a parameter."""
    name, sign, values = text.partition("=")
    own = {there: here for here, there in NAMES.items()}.get(name.strip(), name)
    return axis(f"{own}{sign}{values}")
