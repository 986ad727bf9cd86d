"""`sd3demo grid PROMPT --x cfg=1,2,4 --y steps=4,8,28`: two settings against each other, cell by cell."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, create_model

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import check_file
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import Loading
from sd3demo.engine.plan.device import Device, budget
from sd3demo.errors import Refusal
from sd3demo.history import model_for, single_request, write_whole
from sd3demo.history.sheet_receipts import SheetReceipt, read_sheet, read_tiles, sheet_of, sheet_png
from sd3demo.history.verifying import TOLERANCE
from sd3demo.settings import Prompt, Request, Settings, counted, parse
from sd3demo.studies.grid import grid_plan as grids
from sd3demo.studies.grid.grid_plan import Grid, GridLoading, GridPicture, GridPlan, GridStep
from sd3demo.studies.grid.sheet import draw_sheet


class Sides(Settings):
    """What varies, and where the sheet goes."""

    x: str = Field("cfg=1,2,4", description="From left to right: a setting and its values.")
    y: str = Field("", description="From top to bottom: another setting and its values.")
    out: Path = Field(Path("grid.png"), description="The PNG file of the grid, with its receipt.")
    again: Path | None = Field(None, description="Make a grid again from its file, and compare.")
    device: Device = Field("auto", description="What computes.")


Asked = create_model(
    "Asked",
    __base__=Request,
    __doc__="A request whose prompt may stay open where a grid is made again.",
    prompt=(Prompt, Field("a red circle above a blue square", description="What the pictures should show.")),
)


def grid(request: Request, sides: Sides, report: Report) -> int:
    if sides.again is not None:
        return _again(sides.again, sides.device, report)
    check_file(sides.out)
    here = budget(sides.device)

    def prepare(values: Mapping[str, object]) -> Plan:
        asked = parse(Request, values)
        spec = find(asked.model)
        return plan(asked, spec, here)

    base = request.model_dump(exclude_unset=True) | {"prompt": request.prompt}
    asked = Grid(grids.axis(sides.x), grids.axis(sides.y) if sides.y else None)
    made = grids.plan_grid(asked, base, prepare)
    for each in made.plans:
        locate(each.spec)
    done = _made(made, report)
    write_whole({sides.out: _sheet(made, done)})
    values = {
        "images": [str(sides.out)],
        "cells": [made.plans[place].request.model_dump(mode="json") for place in made.places],
        "pictures": len(made.plans),
        "calls": [made.plans[place].calls for place in made.places],
    }
    report.result(values, f"{sides.out}: {grids.described(asked)}, {counted(asked.count, 'cell')}")
    return 0


def _sheet(made: GridPlan, done: Mapping[int, GridPicture]) -> bytes:
    """The one file of all pictures."""
    x, y = made.grid.x, made.grid.y
    pictures = {cell: done[place].finished.pictures[0] for cell, place in enumerate(made.places)}
    drawn = draw_sheet(made.grid, pictures, made.plans[0].request.prompt)
    receipt = sheet_of(
        (x.name, x.values),
        (y.name, y.values) if y else None,
        [(made.plans[place].request, done[place].finished) for place in range(len(made.plans))],
        places=made.places,
        corners=drawn.corners,
        scale=drawn.scale,
    )
    return sheet_png(drawn.pixels, receipt)


def _made(made: GridPlan, report: Report) -> dict[int, GridPicture]:
    """Every picture by its place, its progress told on the way."""
    from sd3demo.engine.run.engine import Engine

    found: dict[int, GridPicture] = {}
    for news in grids.run(made, Engine().run_batch):
        match news:
            case GridLoading(event=Loading(model=model)):
                report.progress(f"loading {model}")
            case GridStep(done=done, count=count, event=event):
                report.progress(f"{done} of {count} done; step {event.index + 1} of {event.count}")
            case GridPicture():
                found[made.places[news.cells[0]]] = news
    return found


def _again(file: Path, device: Device, report: Report) -> int:
    """Makes every picture of a sheet anew, and compares pixel by pixel."""
    found = read_sheet(file)
    shown = read_tiles(file, found)
    across = grids.GridAxis(found.x.name, found.x.values)
    down = grids.GridAxis(found.y.name, found.y.values) if found.y else None
    done = _made(GridPlan(Grid(across, down), _plans(found, device), found.places), report)
    apart = [
        float(np.abs(shown[cell].astype(int) - done[place].finished.pictures[0]).max()) / 255
        for cell, place in enumerate(found.places)
    ]
    equal = max(apart) <= TOLERANCE + 1e-9
    values = {"max_abs_diff": max(apart), "differences": apart, "equal": equal}
    verdict = "equal" if equal else "NOT equal"
    report.result(values, f"{file} is {verdict}: the largest difference is {max(apart) * 255:.0f}/255")
    return 0 if equal else 1


def _plans(sheet: SheetReceipt, device: Device) -> tuple[Plan, ...]:
    here = budget(device)
    for receipt in sheet.pictures:
        if receipt.request.count != 1:
            raise Refusal("a cell of this grid holds several pictures, which no grid made here does")
    models = [model_for(receipt) for receipt in sheet.pictures]
    return tuple(
        plan(single_request(receipt, found.model), found.spec, here)
        for receipt, found in zip(sheet.pictures, models, strict=True)
    )


COMMAND = Command(grid, (Asked, Sides), arguments=("prompt",))
