"""The X/Y grid as HTML: its cells as they form, with both settings' values along the sides."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from sd3demo.settings import counted
from sd3demo.studies.grid.grid_plan import Grid, GridPlan
from sd3demo.ui.controls.labels import label
from sd3demo.ui.run.picture_verdicts import verdict_text
from sd3demo.ui.server.gradio_internals import ServedFile
from sd3demo.world.verdict import PictureVerdict

EMPTY = (
    '<p class="hint">Two things vary; everything else is as set in the form. '
    "Equal work is done once, and all pictures form together.</p>"
)


@dataclass(frozen=True)
class Tile:
    """A cell's picture: its source; once it is finished, where its settings are, and its verdict."""

    source: str
    link: str = ""
    verdict: PictureVerdict | None = None


def table(grid: Grid, tiles: Mapping[int, Tile]) -> str:
    """The grid with its headings; a finished picture is a link to its settings."""
    heads = "".join(f'<th scope="col">{_value(grid.x.name, value)}</th>' for value in grid.x.values)
    corner = f'<td class="corner">{_corner(grid)}</td>'
    rows = []
    for row, value in enumerate(grid.rows):
        head = f'<th scope="row">{_value(grid.y.name, value)}</th>' if grid.y else "<td></td>"
        cells = range(row * len(grid.x.values), (row + 1) * len(grid.x.values))
        rows.append(f"<tr>{head}{''.join(_cell(grid, cell, tiles.get(cell)) for cell in cells)}</tr>")
    return (
        '<div class="grid" role="region" aria-label="The grid" tabindex="0"><table>'
        f"<thead><tr>{corner}{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def progress_text(planned: GridPlan, step: int, total: int, done: int) -> str:
    """How far all pictures are."""
    return f"{done} of {counted(len(planned.plans), 'picture')} done, step {step} of {total}"


def done_text(planned: GridPlan, sheet: ServedFile, seconds: float) -> str:
    """What was done, and the one file of it."""
    count, cells = len(planned.plans), planned.grid.count
    same = f", {cells - count} of them the same as another" if cells > count else ""
    return (
        f"{counted(cells, 'cell')}{same}, in {seconds:.1f} s. A click on a picture takes its settings. "
        f'<a href="{escape(sheet.source)}" download="{escape(sheet.name)}">Download it as one PNG</a>, with '
        "the receipt of every picture inside."
    )


def _corner(grid: Grid) -> str:
    down = f"<span>{escape(label(grid.y.name).title)} ↓</span>" if grid.y else ""
    return f"{down}<span>{escape(label(grid.x.name).title)} →</span>"


def _cell(grid: Grid, cell: int, tile: Tile | None) -> str:
    if tile is None:
        return '<td><span class="blank"></span></td>'
    what = escape(", ".join(f"{label(axis.name).title} {value}" for axis, value in grid.values(cell)))
    image = f'<img src="{escape(tile.source)}" alt="{what}">'
    if not tile.link:
        return f"<td>{image}</td>"
    said, sign = "", ""
    if tile.verdict is not None:
        said = f". {escape(verdict_text(tile.verdict))}"
        kind, mark = ("yes", "✓") if tile.verdict.passed else ("no", "✗")
        sign = f'<span class="sign {kind}" title="{escape(verdict_text(tile.verdict))}">{mark}</span>'
    link = f'<a href="{escape(tile.link)}" aria-label="Use these settings: {what}{said}">{image}</a>'
    return f"<td>{link}{sign}</td>"


def _value(name: str, value: str) -> str:
    return escape(label(name).names.get(value, value) or "empty")
