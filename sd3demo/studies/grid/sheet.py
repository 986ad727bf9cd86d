"""A grid as one picture: its cells pixel by pixel, the values of both settings along the sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sd3demo.engine.events import Pixels
from sd3demo.studies.grid.grid_plan import Grid, names

LEGIBLE = 160  # pixels a side, at least, that a cell is enlarged to in whole pixels
GAP, MARGIN, SIZE = 8, 16, 15  # pixels: between cells, round the sheet, of the letters
PAPER, INK, EMPTY = (255, 255, 255), (40, 37, 34), (230, 226, 219)


@dataclass(frozen=True, eq=False)
class SheetImage:
    """The sheet, and where each cell lies in it: its left upper corner, each pixel `scale` wide."""

    pixels: Pixels
    corners: tuple[tuple[int, int], ...]
    scale: int


def draw_sheet(grid: Grid, pictures: Mapping[int, Pixels], title: str) -> SheetImage:
    """The sheet of the cells that are there; places of others stay empty."""
    across, down = names(grid)
    font = ImageFont.load_default(SIZE)
    shapes = [picture.shape for picture in pictures.values()] or [(64, 64, 3)]
    high, wide = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    scale = max(1, -(-LEGIBLE // max(high, wide)))
    cell = (wide * scale, high * scale)

    column = max([cell[0], *(_width(font, text) for text in across)]) + GAP
    left = MARGIN + (max(_width(font, text) for text in down) + GAP if grid.y else 0)
    width = left + column * len(across) - GAP + MARGIN
    lines = _wrapped(font, title, width - 2 * MARGIN)
    line = SIZE + 5
    top = MARGIN + line * (len(lines) + 1) + GAP
    height = top + (cell[1] + GAP) * len(down) - GAP + MARGIN

    paper = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(paper)
    for index, text in enumerate(lines):
        draw.text((MARGIN, MARGIN + line * index), text, INK, font)
    for index, text in enumerate(across):
        draw.text((left + column * index, top - line), text, INK, font)
    corners = []
    for place in range(grid.count):
        row, number = divmod(place, len(across))
        corner = (left + column * number, top + (cell[1] + GAP) * row)
        corners.append(corner)
        if number == 0 and grid.y:
            draw.text((MARGIN, corner[1] + (cell[1] - SIZE) // 2), down[row], INK, font)
        if place in pictures:
            large = np.repeat(np.repeat(pictures[place], scale, axis=0), scale, axis=1)
            paper.paste(Image.fromarray(large), corner)
        else:
            draw.rectangle((*corner, corner[0] + cell[0] - 1, corner[1] + cell[1] - 1), EMPTY)
    return SheetImage(np.asarray(paper), tuple(corners), scale)


def _width(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> int:
    return int(font.getlength(text)) + 1


def _wrapped(
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str, width: int, most: int = 3
) -> Sequence[str]:
    """Up to three lines of a text; what is longer ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]}…"]
