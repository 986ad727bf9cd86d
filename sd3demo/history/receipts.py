"""The receipt inside a picture: what it takes to make it again, as JSON in the PNG's text chunk `sd3demo`.

A file is judged by its header before anything is decoded, since a small PNG can unfold to any size. A digest
inside the receipt finds edits; against a forger who recomputes it there is only the rerun, which `sd3demo
verify` does. What a receipt of an older or a newer version comes to is in `stored_json`.
"""

import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field, InstanceOf, SerializeAsAny

from sd3demo import __version__
from sd3demo.engine.events import ArmFinished, Finished, Pixels
from sd3demo.errors import Refusal
from sd3demo.history.ai_mark import add_ai_mark
from sd3demo.history.portable import portable_request
from sd3demo.history.stored_json import (
    FORMAT,
    RequestKind,
    check_sealed,
    from_format_1,
    kind_of,
    parse_stored,
    request_from,
    sealed,
)
from sd3demo.settings import Resolved, Settings

KEYWORD = "sd3demo"
SHEET_KEYWORD = "sd3demo-grid"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_RECEIPT = 8 * 2**20  # bytes; a grid has 64 of them in one, with four texts of 2000 characters each
LARGEST_FILE = 512 * 2**20
MOST_CHUNKS = 20_000  # Pillow writes 64 KiB of pixels in one
MADE_WITH = ("torch", "diffusers", "transformers")

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PictureRecord(Settings):
    """How one picture was made. `picture` is its place in the batch; its seed is the request's plus that.

    The model in `request` is a catalogue's name or the name of a folder; `weights_sha256` says which it is.
    """

    kind: RequestKind
    request: SerializeAsAny[InstanceOf[Resolved]]
    picture: Annotated[int, Field(ge=0, le=15)]
    sigmas: Annotated[tuple[float, ...], Field(min_length=2, max_length=111)]
    noise_sha256: Hash
    weights_sha256: Hash


class Receipt(PictureRecord):
    """A picture's record as its file holds it; `parent` is the native picture that it was enlarged from.

    `unread` is, by encoder, what of the texts the model did not read.
    `request_id` names the run in the log of the page that made it; a picture of the command line has none.
    """

    format: Literal[2] = FORMAT
    parent: PictureRecord | None = None
    unread: dict[str, list[str]] = Field(default_factory=dict)
    request_id: Annotated[str, Field(pattern="^[0-9a-f]{0,64}$")] = ""
    versions: dict[str, str]


def receipts_of(
    request: Resolved, finished: Finished | ArmFinished, native: Sequence[Receipt] = ()
) -> list[Receipt]:
    """Return a receipt for each picture of a run; `native` are those of its native pictures."""
    parents: Sequence[PictureRecord | None] = [_record(each) for each in native]
    parents = parents or [None] * len(finished.noise_sha256)
    return [
        Receipt(
            kind=kind_of(request),
            request=portable_request(request),
            picture=index,
            sigmas=finished.sigmas,
            noise_sha256=noise,
            weights_sha256=finished.weights_sha256,
            parent=parent,
            unread=dict(finished.unread),
            request_id=finished.request_id,
            versions=_versions(),
        )
        for index, (noise, parent) in enumerate(zip(finished.noise_sha256, parents, strict=True))
    ]


def to_png(pixels: Pixels, receipt: Receipt) -> bytes:
    """Return a PNG file of a picture with its receipt and its AI mark."""
    texts, file = PngInfo(), io.BytesIO()
    texts.add_text(KEYWORD, receipt_json(receipt))
    add_ai_mark(texts)
    Image.fromarray(pixels).save(file, format="PNG", pnginfo=texts)
    return file.getvalue()


def receipt_json(receipt: Receipt) -> str:
    """Return the JSON text of a receipt, its digest in it."""
    values = receipt.model_dump(mode="json")
    if not receipt.request_id:
        del values["request_id"]  # as in receipts from before there was one
    return sealed(values)


def receipt_from(values: Mapping[str, object], what: str) -> Receipt:
    """Return the receipt of a JSON object. Raises Refusal for one edited, or of another version."""
    check_sealed(values, what)
    found = {name: value for name, value in values.items() if name != "digest"}
    if found["format"] == 1:
        found = from_format_1(found)
    found["request"] = request_from(found, what)
    parent = found.get("parent")
    if isinstance(parent, Mapping):
        request = request_from({"versions": found.get("versions"), **parent}, what)
        found["parent"] = {**parent, "request": request}
    return parse_stored(Receipt, found, what)


def read_receipt(path: Path) -> Receipt:
    """Return the receipt of a PNG file. Raises Refusal for a file with none, or with one edited or forged."""
    size, text = _opened(path, KEYWORD)
    what = f"the receipt in {path}"
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{what} is not JSON; the file was damaged or forged") from error
    if not isinstance(values, dict):
        raise Refusal(f"{what} is not a JSON object; the file was damaged or forged")
    receipt = receipt_from(values, what)
    asked = (receipt.request.width, receipt.request.height)
    if size != asked:
        raise Refusal(
            f"{path} has {size[0]} x {size[1]} pixels and its receipt says {asked[0]} x {asked[1]}; "
            "it was resized or forged"
        )
    return receipt


def read_text(path: Path, keyword: str) -> str:
    """Return the text chunk of a name in a PNG file. Raises Refusal where there is none, or more than one."""
    return _opened(path, keyword)[1]


def read_pixels(path: Path, receipt: Receipt) -> Pixels:
    """Return the decoded picture, (H, W, 3), of a file whose receipt was read: its size is known by then."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != (receipt.request.width, receipt.request.height):
                raise Refusal(f"{path} changed while it was read; try again")
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Refusal(f"{path} cannot be decoded: {error}; the file is damaged") from error


def _opened(path: Path, keyword: str) -> tuple[tuple[int, int], str]:
    try:
        with path.open("rb") as stream:
            if path.stat().st_size > LARGEST_FILE:
                raise Refusal(f"{path} is larger than {LARGEST_FILE // 2**20} MiB; no picture made here is")
            return _header(stream, path, keyword)
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}; give a PNG file that sd3demo wrote") from error


def _header(stream: BinaryIO, path: Path, keyword: str) -> tuple[tuple[int, int], str]:
    """Return width and height, and the text of the one chunk of ours; picture data are skipped."""
    if stream.read(8) != SIGNATURE:
        raise Refusal(f"{path} is not a PNG file; give one that sd3demo wrote")
    size, texts, is_sheet = (0, 0), [], False
    for kind, content in _chunks(stream, path):
        if kind == b"IHDR" and len(content) == 13:
            size = (int.from_bytes(content[:4]), int.from_bytes(content[4:8]))
        elif kind == b"tEXt" and content.startswith(keyword.encode() + b"\0"):
            texts.append(content[len(keyword) + 1 :].decode("latin-1"))
        elif kind == b"tEXt" and content.startswith(SHEET_KEYWORD.encode() + b"\0"):
            is_sheet = True
    if is_sheet and not texts:
        raise Refusal(f"{path} is a grid of pictures; `sd3demo grid --again {path}` makes all of them anew")
    if len(texts) != 1:
        found = "has no receipt" if not texts else f"has {len(texts)} receipts"
        raise Refusal(f"{path} {found}; give a PNG that sd3demo wrote and no other program has saved since")
    return size, texts[0]


def _chunks(stream: BinaryIO, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG, checked; large ones and those of pixels come empty."""
    damaged = Refusal(f"{path} is a damaged PNG file; copy it again")
    for _ in range(MOST_CHUNKS):
        head = stream.read(8)
        length, kind = int.from_bytes(head[:4]), head[4:]
        if len(head) < 8:
            raise damaged
        if kind == b"IDAT" or length > LARGEST_RECEIPT:
            stream.seek(length + 4, io.SEEK_CUR)
            yield kind, b""
            continue
        content, check = stream.read(length), stream.read(4)
        if len(content) < length or int.from_bytes(check) != zlib.crc32(kind + content):
            raise damaged
        yield kind, content
        if kind == b"IEND":
            return
    raise Refusal(f"{path} has more than {MOST_CHUNKS:,} chunks; no picture made here has")


def _record(receipt: Receipt) -> PictureRecord:
    """Return a receipt without what belongs to its file."""
    return PictureRecord(**{name: getattr(receipt, name) for name in PictureRecord.model_fields})


def _versions() -> dict[str, str]:
    found = {KEYWORD: __version__}
    for name in MADE_WITH:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
