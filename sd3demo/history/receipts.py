"""The receipt inside a picture: what it takes to make it again, as JSON in the PNG's text chunk `sd3demo`.

A file is judged by its header before anything is decoded, since a small PNG can unfold to any size. A digest
inside the receipt finds edits; against a forger who recomputes it there is only the rerun, which `sd3demo
verify` does.
"""

import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Discriminator, Field, Tag

from sd3demo import __version__
from sd3demo.engine.events import ArmFinished, Finished, Pixels
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, Settings, parse
from sd3demo.settings.extrapolation import ResolvedExtrapolation

KEYWORD = "sd3demo"
SHEET_KEYWORD = "sd3demo-grid"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_RECEIPT = 8 * 2**20  # bytes; a grid has 64 of them in one, with four texts of 2000 characters each
LARGEST_FILE = 512 * 2**20
MADE_WITH = ("torch", "diffusers", "transformers")

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _kind(request: object) -> str:
    """Which of the two a request is: an extrapolation names its method."""
    large = "method" in request if isinstance(request, dict) else isinstance(request, ResolvedExtrapolation)
    return "large" if large else "plain"


Either = Annotated[
    Annotated[Resolved, Tag("plain")] | Annotated[ResolvedExtrapolation, Tag("large")], Discriminator(_kind)
]


class Receipt(Settings):
    """How one picture was made. `picture` is its place in the batch; its seed is the request's plus that."""

    format: Literal[1] = 1
    request: Either
    picture: Annotated[int, Field(ge=0, le=15)]
    sigmas: Annotated[tuple[float, ...], Field(min_length=2, max_length=111)]
    noise_sha256: Hash
    weights_sha256: Hash
    versions: dict[str, str]
    digest: str = ""


def receipts_of(request: Resolved, finished: Finished | ArmFinished) -> list[Receipt]:
    """One for each picture of a run."""
    return [
        _signed(
            Receipt(
                request=request,
                picture=index,
                sigmas=finished.sigmas,
                noise_sha256=noise,
                weights_sha256=finished.weights_sha256,
                versions=_versions(),
            )
        )
        for index, noise in enumerate(finished.noise_sha256)
    ]


def to_png(pixels: Pixels, receipt: Receipt) -> bytes:
    """A PNG file of a picture with its receipt."""
    texts, file = PngInfo(), io.BytesIO()
    texts.add_text(KEYWORD, _json(receipt))
    Image.fromarray(pixels).save(file, format="PNG", pnginfo=texts)
    return file.getvalue()


def read_receipt(path: Path) -> Receipt:
    """The receipt of a PNG file. Raises Refusal for a file with none, or with one edited or forged."""
    size, text = _opened(path, KEYWORD)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"the receipt in {path} is not JSON; the file was damaged or forged") from error
    if not isinstance(values, dict):
        raise Refusal(f"the receipt in {path} is not a JSON object; the file was damaged or forged")
    try:
        receipt = parse(Receipt, values)
    except Refusal as error:
        raise Refusal(f"the receipt in {path} is not valid: {error}") from error
    if receipt != _signed(receipt):
        raise Refusal(f"the receipt in {path} was edited: its digest does not match what it says")
    asked = (receipt.request.width, receipt.request.height)
    if size != asked:
        raise Refusal(
            f"{path} has {size[0]} x {size[1]} pixels and its receipt says {asked[0]} x {asked[1]}; "
            "it was resized or forged"
        )
    return receipt


def read_text(path: Path, keyword: str) -> str:
    """The one text chunk of a name in a PNG file. Raises Refusal where there is none, or more than one."""
    return _opened(path, keyword)[1]


def read_pixels(path: Path, receipt: Receipt) -> Pixels:
    """The decoded picture, (H, W, 3), of a file whose receipt was read: its size is known by then."""
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
    """Width and height, and the text of the one chunk that is ours; picture data are skipped, not read."""
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
    """The small chunks of a PNG, checked; large ones and those of pixels come empty."""
    damaged = Refusal(f"{path} is a damaged PNG file; copy it again")
    while head := stream.read(8):
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
    raise damaged


def _signed(receipt: Receipt) -> Receipt:
    """The receipt with the digest of all else in it."""
    unsigned = receipt.model_copy(update={"digest": ""})
    return receipt.model_copy(update={"digest": hashlib.sha256(_json(unsigned).encode()).hexdigest()})


def _json(receipt: Receipt) -> str:
    """In ASCII, so that it fits a text chunk; sorted, so that equal receipts are equal texts."""
    return json.dumps(receipt.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)


def _versions() -> dict[str, str]:
    found = {KEYWORD: __version__}
    for name in MADE_WITH:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
