"""The receipt of a grid's sheet: the receipts of its pictures, and where each of them stands.

It stands in the PNG's text chunk `sd3demo-grid`; every cell's request can be taken out of it again.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field

from sd3demo.engine.events import Finished, Pixels
from sd3demo.errors import Refusal
from sd3demo.history.ai_mark import add_ai_mark
from sd3demo.history.receipts import (
    SHEET_KEYWORD,
    Receipt,
    read_text,
    receipt_from,
    receipt_json,
    receipts_of,
)
from sd3demo.history.stored_json import FORMAT, check_sealed, parse_stored, sealed
from sd3demo.settings import Resolved, Settings

MOST_CELLS = 64
LARGEST_SHEET = 128 * 2**20  # pixels


class SheetAxis(Settings):
    """A setting that varies along one side, and its values in order, as they were given."""

    name: str
    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_CELLS)]


class SheetReceipt(Settings):
    """The receipts of a grid's pictures, and the cells, row by row; `places` are the pictures that they show.

    `corners` are the left upper pixels of the cells, and each pixel of a picture is `scale` pixels wide.
    """

    format: Literal[2] = FORMAT
    x: SheetAxis
    y: SheetAxis | None
    pictures: Annotated[tuple[Receipt, ...], Field(min_length=1, max_length=MOST_CELLS)]
    places: Annotated[tuple[int, ...], Field(min_length=1, max_length=MOST_CELLS)]
    corners: Annotated[tuple[tuple[int, int], ...], Field(min_length=1, max_length=MOST_CELLS)]
    scale: Annotated[int, Field(ge=1, le=64)]

    def cell(self, column: int, row: int) -> Receipt:
        """Return the receipt of a cell; columns and rows count from 0, from the upper left."""
        return self.pictures[self.places[row * len(self.x.values) + column]]


def sheet_of(
    x: tuple[str, tuple[str, ...]],
    y: tuple[str, tuple[str, ...]] | None,
    runs: Sequence[tuple[Resolved, Finished]],
    *,
    places: tuple[int, ...],
    corners: tuple[tuple[int, int], ...],
    scale: int,
) -> SheetReceipt:
    """Return the receipt of a grid; its sides are a setting's name and its values."""
    return SheetReceipt(
        x=SheetAxis(name=x[0], values=x[1]),
        y=SheetAxis(name=y[0], values=y[1]) if y else None,
        pictures=tuple(receipt for request, finished in runs for receipt in receipts_of(request, finished)),
        places=places,
        corners=corners,
        scale=scale,
    )


def sheet_png(pixels: Pixels, sheet: SheetReceipt) -> bytes:
    """Return a PNG file of a grid with its receipt and its AI mark."""
    texts, file = PngInfo(), io.BytesIO()
    texts.add_text(SHEET_KEYWORD, sheet_json(sheet))
    add_ai_mark(texts)
    Image.fromarray(pixels).save(file, format="PNG", pnginfo=texts)
    return file.getvalue()


def sheet_json(sheet: SheetReceipt) -> str:
    """Return the JSON text of a grid's receipt; each picture's receipt and the whole have their digest."""
    pictures = [json.loads(receipt_json(receipt)) for receipt in sheet.pictures]
    return sealed(sheet.model_dump(mode="json") | {"pictures": pictures})


def sheet_from(values: Mapping[str, object], what: str) -> SheetReceipt:
    """Return the receipt of a grid from a JSON object. Raises Refusal as `receipt_from` does."""
    check_sealed(values, what)
    found = {name: value for name, value in values.items() if name != "digest"} | {"format": FORMAT}
    pictures = found.get("pictures")
    if isinstance(pictures, list):
        found["pictures"] = [
            receipt_from(each, what) if isinstance(each, Mapping) else each for each in pictures
        ]
    return parse_stored(SheetReceipt, found, what)


def read_sheet(path: Path) -> SheetReceipt:
    """Return the receipt of a grid. Raises Refusal for a file with none, or with one edited or forged."""
    text, what = read_text(path, SHEET_KEYWORD), f"the receipt in {path}"
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{what} is not a grid's: it was damaged or forged") from error
    if not isinstance(values, dict):
        raise Refusal(f"{what} is not a grid's: it was damaged or forged")
    sheet = sheet_from(values, what)
    cells = len(sheet.x.values) * (len(sheet.y.values) if sheet.y else 1)
    if {len(sheet.places), len(sheet.corners)} != {cells} or max(sheet.places) >= len(sheet.pictures):
        raise Refusal(f"{what} is not a grid's: its cells and its pictures do not agree")
    return sheet


def read_tiles(path: Path, sheet: SheetReceipt) -> tuple[Pixels, ...]:
    """Return each cell's own pixels, (H, W, 3), of a grid whose receipt was read."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > LARGEST_SHEET:
                raise Refusal(f"{path} has {image.width} x {image.height} pixels; no grid made here has")
            pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{path} cannot be decoded: {error}; the file is damaged") from error
    tiles = []
    for place, (left, top) in zip(sheet.places, sheet.corners, strict=True):
        request, scale = sheet.pictures[place].request, sheet.scale
        width, height = request.width * scale, request.height * scale
        if not (0 <= left <= pixels.shape[1] - width and 0 <= top <= pixels.shape[0] - height):
            raise Refusal(f"{path} is smaller than its receipt says; it was resized or forged")
        tiles.append(pixels[top : top + height : scale, left : left + width : scale])
    return tuple(tiles)
