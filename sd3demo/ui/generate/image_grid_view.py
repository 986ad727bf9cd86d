"""A grid as HTML: its cells as they form, with both settings' values along the sides."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from PIL import Image

from sd3demo.engine.events import Pixels
from sd3demo.settings import counted
from sd3demo.studies.grid.grid_plan import Grid, GridPlan
from sd3demo.ui.controls.labels import face
from sd3demo.ui.run import status as words

EMPTY = (
    '<p class="hint">Two settings vary here, each picture made from the settings above in everything else. '
    "Equal work is done once, and all pictures form together.</p>"
)


@dataclass(frozen=True)
class Tile:
    """A cell's picture: its source, and where its settings are, once it is finished."""

    source: str
    link: str = ""


def table(grid: Grid, tiles: Mapping[int, Tile]) -> str:
    """The grid with its headings; a finished picture is a link to its settings."""
    x = face(grid.x.name)
    heads = "".join(f'<th scope="col">{_value(x.names, value)}</th>' for value in grid.x.values)
    corner = f'<td class="corner">{_corner(grid)}</td>'
    rows = []
    for row, value in enumerate(grid.rows):
        head = f'<th scope="row">{_value(face(grid.y.name).names, value)}</th>' if grid.y else "<td></td>"
        cells = range(row * len(grid.x.values), (row + 1) * len(grid.x.values))
        rows.append(f"<tr>{head}{''.join(_cell(grid, cell, tiles.get(cell)) for cell in cells)}</tr>")
    return (
        '<div class="grid" role="region" aria-label="The grid" tabindex="0"><table>'
        f"<thead><tr>{corner}{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def progress(made: GridPlan, steps: int, done: int) -> str:
    """How far all pictures are."""
    total = sum(len(plan.sigmas) - 1 for plan in made.plans)
    return words.bar(
        steps, total, f"{done} of {counted(len(made.plans), 'picture')} done, step {steps} of {total} in all"
    )


def finished(made: GridPlan, source: str, name: str, seconds: float) -> str:
    """What was done, and the one file of it."""
    count, cells = len(made.plans), made.grid.count
    same = f", {cells - count} of them the same as another" if cells > count else ""
    return (
        f'<p class="done" role="status">{counted(cells, "cell")}{same}, in {seconds:.1f} s. '
        f'A click on a picture takes its settings. <a href="{escape(source)}" download="{escape(name)}">'
        "Download it as one PNG</a>, with the receipt of every picture inside.</p>"
    )


def uri(pixels: Pixels) -> str:
    """A small picture as its own address."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _corner(grid: Grid) -> str:
    down = f"<span>{escape(face(grid.y.name).title)} ↓</span>" if grid.y else ""
    return f"{down}<span>{escape(face(grid.x.name).title)} →</span>"


def _cell(grid: Grid, cell: int, tile: Tile | None) -> str:
    if tile is None:
        return '<td><span class="blank"></span></td>'
    what = escape(", ".join(f"{face(name).title} {value}" for name, value in grid.settings(cell).items()))
    image = f'<img src="{escape(tile.source)}" alt="{what}">'
    if not tile.link:
        return f"<td>{image}</td>"
    return f'<td><a href="{escape(tile.link)}" aria-label="Use these settings: {what}">{image}</a></td>'


def _value(names: Mapping[str, str], value: str) -> str:
    return escape(names.get(value, value))
