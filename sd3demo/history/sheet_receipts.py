"""The receipt of a grid's sheet: the receipts of its pictures, and where each of them stands.

It stands in the PNG's text chunk `sd3demo-grid`; every cell's request can be taken out of it again.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field

from sd3demo.engine.events import Finished, Pixels
from sd3demo.errors import Refusal
from sd3demo.history.receipts import SHEET_KEYWORD, Receipt, read_text, receipts_of
from sd3demo.settings import Resolved, Settings, parse

MOST_CELLS = 64
LARGEST_SHEET = 128 * 2**20  # pixels


class Along(Settings):
    """What varies along one side: a setting and its values, in order, as they were given."""

    name: str
    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_CELLS)]


class SheetReceipt(Settings):
    """How a grid was made. Cells stand row by row; `places` says which of the pictures each of them shows.

    `corners` are the left upper pixels of the cells, and each pixel of a picture is `scale` pixels wide.
    """

    format: Literal[1] = 1
    x: Along
    y: Along | None
    pictures: Annotated[tuple[Receipt, ...], Field(min_length=1, max_length=MOST_CELLS)]
    places: Annotated[tuple[int, ...], Field(min_length=1, max_length=MOST_CELLS)]
    corners: Annotated[tuple[tuple[int, int], ...], Field(min_length=1, max_length=MOST_CELLS)]
    scale: Annotated[int, Field(ge=1, le=64)]
    digest: str = ""

    def cell(self, column: int, row: int) -> Receipt:
        """The receipt of the picture at a place; counted from 0, from the left upper corner."""
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
    """The receipt of a grid whose pictures are finished; sides are a setting's name and its values."""
    return _signed(
        SheetReceipt(
            x=Along(name=x[0], values=x[1]),
            y=Along(name=y[0], values=y[1]) if y else None,
            pictures=tuple(
                receipt for request, finished in runs for receipt in receipts_of(request, finished)
            ),
            places=places,
            corners=corners,
            scale=scale,
        )
    )


def sheet_png(pixels: Pixels, sheet: SheetReceipt) -> bytes:
    """A PNG file of a grid with its receipt."""
    texts, file = PngInfo(), io.BytesIO()
    texts.add_text(SHEET_KEYWORD, _json(sheet))
    Image.fromarray(pixels).save(file, format="PNG", pnginfo=texts)
    return file.getvalue()


def read_sheet(path: Path) -> SheetReceipt:
    """The receipt of a grid. Raises Refusal for a file with none, or with one edited or forged."""
    try:
        values = json.loads(read_text(path, SHEET_KEYWORD))
        sheet = parse(SheetReceipt, values if isinstance(values, dict) else {})
    except (ValueError, RecursionError) as error:
        if isinstance(error, Refusal) and str(path) in str(error):
            raise
        raise Refusal(f"the receipt in {path} is not a grid's: it was damaged or forged") from error
    cells = len(sheet.x.values) * (len(sheet.y.values) if sheet.y else 1)
    if sheet != _signed(sheet):
        raise Refusal(f"the receipt in {path} was edited: its digest does not match what it says")
    if {len(sheet.places), len(sheet.corners)} != {cells} or max(sheet.places) >= len(sheet.pictures):
        raise Refusal(f"the receipt in {path} is not a grid's: its cells and its pictures do not agree")
    return sheet


def read_tiles(path: Path, sheet: SheetReceipt) -> tuple[Pixels, ...]:
    """Each cell's own pixels, (H, W, 3), out of a grid whose receipt was read."""
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


def _signed(sheet: SheetReceipt) -> SheetReceipt:
    unsigned = sheet.model_copy(update={"digest": ""})
    return sheet.model_copy(update={"digest": hashlib.sha256(_json(unsigned).encode()).hexdigest()})


def _json(sheet: SheetReceipt) -> str:
    return json.dumps(sheet.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
