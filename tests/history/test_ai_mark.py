"""Every picture says to other programs that a model made it; older pictures without the mark still verify."""

import json
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sd3demo.history import read_pixels, read_receipt, receipts_of, to_png
from sd3demo.history.ai_mark import PACKET, TRAINED, XMP_KEYWORD
from sd3demo.history.receipts import KEYWORD, receipt_json
from sd3demo.history.sheet_receipts import read_sheet, sheet_of, sheet_png
from tests.engine.runs import EXACT, exactly, run

RAN = run(exactly("red", count=1, steps=3), EXACT)
RECEIPT = receipts_of(RAN.plan.request, RAN.finished)[0]
PIXELS = RAN.finished.pictures[0]
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def digital_source_type(path: Path) -> str:
    """What a reader of XMP finds, from the one iTXt chunk of a file."""
    content, found = path.read_bytes(), []
    place = 8
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"iTXt":
            found.append(content[place + 8 : place + 8 + length])
        place += 12 + length
    (chunk,) = found
    keyword, _, rest = chunk.partition(b"\0")
    assert keyword == XMP_KEYWORD.encode()
    assert rest[:4] == b"\0\0\0\0"  # not compressed, and of no language, as XMP has it
    packet = rest[4:].decode("utf-8")
    (description,) = ElementTree.fromstring(packet).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    return description.attrib[SOURCE_TYPE]


def test_a_picture_is_marked_as_made_by_a_model(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(to_png(PIXELS, RECEIPT))
    assert digital_source_type(path) == TRAINED
    with Image.open(path) as image:
        assert image.info[XMP_KEYWORD] == PACKET
    receipt = read_receipt(path)  # beside the mark
    assert receipt == RECEIPT
    assert np.array_equal(read_pixels(path, receipt), PIXELS)


def test_a_grid_is_marked_too(tmp_path: Path) -> None:
    sheet = sheet_of(
        ("cfg", ("1",)),
        None,
        [(RAN.plan.request, RAN.finished)],
        places=(0,),
        corners=((0, 0),),
        scale=1,
    )
    path = tmp_path / "grid.png"
    path.write_bytes(sheet_png(PIXELS, sheet))
    assert digital_source_type(path) == TRAINED
    assert read_sheet(path).pictures == (RECEIPT,)


def test_a_picture_of_before_the_mark_is_read_as_ever(tmp_path: Path) -> None:
    path, texts = tmp_path / "older.png", PngInfo()
    texts.add_text(KEYWORD, receipt_json(RECEIPT))
    Image.fromarray(PIXELS).save(path, format="PNG", pnginfo=texts)
    assert read_receipt(path) == RECEIPT


def test_the_mark_is_no_part_of_the_receipt() -> None:
    """So its digest is what it was before."""
    assert TRAINED not in receipt_json(RECEIPT)
    assert set(json.loads(receipt_json(RECEIPT))) == {
        *(name for name in type(RECEIPT).model_fields if name != "request_id"),
        "digest",
    }
