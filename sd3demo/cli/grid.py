"""`sd3demo grid PROMPT --x cfg=1,2,4 --y replace=red,blue`: an X/Y grid, a picture a cell."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, create_model

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.output_files import check_file
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import Loading
from sd3demo.engine.plan.device import Device, budget
from sd3demo.errors import Refusal
from sd3demo.history import model_for, single_request, user_store, write_whole
from sd3demo.history.input_pictures import with_inputs
from sd3demo.history.lora_lookup import remember_loras, with_lora_files
from sd3demo.history.sheet_receipts import SheetReceipt, read_sheet, read_tiles, sheet_of, sheet_png
from sd3demo.history.verifying import TOLERANCE
from sd3demo.settings import Prompt, Request, Resolved, Settings, counted, parse
from sd3demo.studies.grid import grid_plan as grids
from sd3demo.studies.grid.grid_plan import Grid, GridLoading, GridPicture, GridPlan, GridStep
from sd3demo.studies.grid.sheet import draw_sheet


class GridOptions(Settings):
    """The two axes, and where the picture of the grid goes."""

    x: str = Field("cfg=1,2,4", description=f"From left to right: {grids.AXIS_HELP}")
    y: str = Field("", description="From top to bottom: another setting and its values, none by default.")
    out: Path = Field(Path("grid.png"), description="The PNG file of the grid, with its receipt.")
    again: Path | None = Field(None, description="Run a grid again from its PNG file, and compare.")
    device: Device = Field("auto", description="The device to compute on.")


GridRequest = create_model(
    "GridRequest",
    __base__=Request,
    __doc__="A request whose prompt may be left out where a grid is run again from its file.",
    prompt=(Prompt, Field("a red circle above a blue square", description="What the pictures should show.")),
)


def grid(request: Request, options: GridOptions, report: Report) -> int:
    if options.again is not None:
        return _rerun(options.again, options.device, report)
    check_file(options.out)
    available = budget(options.device)

    def prepare(values: Mapping[str, object]) -> Plan:
        cell = parse(Request, values)
        return plan(cell, find(cell.model), available)

    base = request.model_dump(exclude_unset=True) | {"prompt": request.prompt}
    axes = Grid(grids.axis(options.x), grids.axis(options.y) if options.y else None)
    planned = grids.plan_grid(axes, base, prepare)
    for each in planned.plans:
        locate(each.spec)
        remember_loras(each.spec.adapters)
    done = _run_cells(planned, report)
    write_whole({options.out: _sheet_png(planned, done)})
    values = {
        "images": [str(options.out)],
        "cells": [planned.plans[place].request.model_dump(mode="json") for place in planned.places],
        "pictures": len(planned.plans),
        "calls": [planned.plans[place].calls for place in planned.places],
    }
    report.result(values, f"{options.out}: {grids.described(axes)}, {counted(axes.count, 'cell')}")
    return 0


def _sheet_png(planned: GridPlan, done: Mapping[int, GridPicture]) -> bytes:
    """Return the PNG of all cells with its receipt."""
    x, y = planned.grid.x, planned.grid.y
    pictures = {cell: done[place].finished.pictures[0] for cell, place in enumerate(planned.places)}
    drawn = draw_sheet(planned.grid, pictures, planned.plans[0].request.prompt)
    receipt = sheet_of(
        (x.name, x.values),
        (y.name, y.values) if y else None,
        [(planned.plans[place].request, done[place].finished) for place in range(len(planned.plans))],
        places=planned.places,
        corners=drawn.corners,
        scale=drawn.scale,
    )
    return sheet_png(drawn.pixels, receipt)


def _run_cells(planned: GridPlan, report: Report) -> dict[int, GridPicture]:
    """Run every cell, report the progress, and return the results by place."""
    from sd3demo.engine.run.engine import Engine

    results: dict[int, GridPicture] = {}
    for news in grids.run(planned, Engine().run_batch):
        match news:
            case GridLoading(event=Loading(model=model)):
                report.progress(f"loading {model}")
            case GridStep(done=done, count=count, event=event):
                report.progress(f"{done} of {count} done; step {event.index + 1} of {event.count}")
            case GridPicture():
                results[planned.places[news.cells[0]]] = news
    return results


def _rerun(file: Path, device: Device, report: Report) -> int:
    """Run every cell of a grid again from its file, and compare pixel by pixel."""
    receipt = read_sheet(file)
    shown = read_tiles(file, receipt)
    across = grids.GridAxis(receipt.x.name, receipt.x.values)
    down = grids.GridAxis(receipt.y.name, receipt.y.values) if receipt.y else None
    done = _run_cells(GridPlan(Grid(across, down), _plans(receipt, device), receipt.places), report)
    differences = [
        float(np.abs(shown[cell].astype(int) - done[place].finished.pictures[0]).max()) / 255
        for cell, place in enumerate(receipt.places)
    ]
    equal = max(differences) <= TOLERANCE + 1e-9
    values = {"max_abs_diff": max(differences), "differences": differences, "equal": equal}
    verdict = "equal" if equal else "NOT equal"
    report.result(values, f"{file} is {verdict}: the largest difference is {max(differences) * 255:.0f}/255")
    return 0 if equal else 1


def _with_files(request: Resolved) -> Resolved:
    """Return the request of a cell with the files that are found again by their hashes."""
    return with_inputs(with_lora_files(request), user_store())


def _plans(receipt: SheetReceipt, device: Device) -> tuple[Plan, ...]:
    available = budget(device)
    if any(cell.request.count != 1 for cell in receipt.pictures):
        raise Refusal("a cell of this grid holds a batch; only grids of one picture a cell can be run again")
    models = [model_for(cell) for cell in receipt.pictures]
    return tuple(
        plan(_with_files(single_request(cell, found.model)), found.spec, available)
        for cell, found in zip(receipt.pictures, models, strict=True)
    )


COMMAND = Command(grid, (GridRequest, GridOptions), arguments=("prompt",))
