"""What a picture's file says before any of it is decoded: its size, and how much there is to go through.

A small file can unfold to any size, and one of millions of chunks takes minutes to walk. So both are read
from the bytes here: decoders open some formats by allocating the whole canvas.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sd3demo.errors import Refusal

PIXELS, CHUNKS, SCANS = 2**26, 20_000, 100
PNG, JPEG, RIFF, WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF", b"WEBP"
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SCAN = 0xDA


@dataclass(frozen=True)
class PictureLimits:
    """The most that is decoded: pixels, and chunks or segments; a JPEG has at most SCANS scans besides."""

    pixels: int = PIXELS
    chunks: int = CHUNKS


class _NotAPicture(Exception):  # noqa: N818
    """The bytes are of no format that is read here, or break off."""


def check_header(file: Path, limits: PictureLimits, content: bytes | None = None) -> tuple[int, int]:
    """Return width and height. Raises Refusal for what is no PNG, JPEG or WebP, or beyond the limits.

    `content` are the bytes where they are at hand; the file is then but a name.
    """
    try:
        with file.open("rb") if content is None else io.BytesIO(content) as stream:
            head = stream.read(16)
            stream.seek(0)
            width, height = _size(stream, head, file, limits)
    except FileNotFoundError as error:
        raise Refusal(f"there is no file {file}; give a PNG, JPEG or WebP file") from error
    except (OSError, _NotAPicture) as error:
        raise Refusal(f"{file} cannot be read as a picture; give a PNG, JPEG or WebP file") from error
    if width * height > limits.pixels:
        raise Refusal(
            f"{file} is {width} x {height}, {width * height / 1e6:.0f} megapixels, and at most "
            f"{limits.pixels / 1e6:.0f} are read here: shrink it"
        )
    return width, height


def _size(stream: BinaryIO, head: bytes, file: Path, limits: PictureLimits) -> tuple[int, int]:
    if head.startswith(PNG):
        return _png(stream, file, limits.chunks)
    if head.startswith(JPEG):
        return _jpeg(stream, file, limits.chunks)
    if head[:4] == RIFF and head[8:12] == WEBP:
        return _webp(stream, file, limits.chunks)
    raise _NotAPicture


def _png(stream: BinaryIO, file: Path, most: int) -> tuple[int, int]:
    """The size of the header chunk; all heads of chunks are walked."""
    stream.seek(len(PNG))
    size: tuple[int, int] | None = None
    for _ in _bounded(file, most, "chunks"):
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        length = int.from_bytes(head[:4])
        if size is None:
            body = stream.read(13)
            if head[4:] != b"IHDR" or length != 13 or len(body) < 13:
                raise _NotAPicture
            size = int.from_bytes(body[:4]), int.from_bytes(body[4:8])
            length = 0
        stream.seek(length + 4, io.SEEK_CUR)
    return _found(size)


def _jpeg(stream: BinaryIO, file: Path, most: int) -> tuple[int, int]:
    """The size of the frame; scans are counted over the whole file, where no other bytes look like theirs."""
    content = stream.read()
    scans = content.count(bytes((0xFF, JPEG_SCAN)))
    if scans > SCANS:
        raise Refusal(f"{file} has {scans:,} scans, and at most {SCANS} are read here: save it anew")
    place = len(JPEG)
    for _ in _bounded(file, most, "segments"):
        while content[place : place + 2] == b"\xff\xff":
            place += 1
        if content[place : place + 1] != b"\xff" or place + 9 > len(content):
            raise _NotAPicture
        kind = content[place + 1]
        if kind in JPEG_FRAMES:
            height, width = (int.from_bytes(content[place + k : place + k + 2]) for k in (5, 7))
            return _found((width, height))
        place += 2 + max(int.from_bytes(content[place + 2 : place + 4]), 2)
    raise _NotAPicture


def _webp(stream: BinaryIO, file: Path, most: int) -> tuple[int, int]:
    """The size of the canvas; it comes first, and the heads of what follows are walked."""
    stream.seek(12)
    size: tuple[int, int] | None = None
    for _ in _bounded(file, most, "chunks"):
        head = stream.read(8)
        if len(head) < 8:
            break
        length = int.from_bytes(head[4:], "little")
        body = stream.read(10) if size is None else b""
        if size is None:
            size = _webp_size(head[:4], body)
        stream.seek(length + length % 2 - len(body), io.SEEK_CUR)
    return _found(size)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int]:
    if len(body) < 10:
        raise _NotAPicture
    match kind:
        case b"VP8X":
            return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(body[1:5], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return (
                int.from_bytes(body[6:8], "little") & 0x3FFF,
                int.from_bytes(body[8:10], "little") & 0x3FFF,
            )
    raise _NotAPicture


def _bounded(file: Path, most: int, what: str) -> Iterator[int]:
    """Count up to `most`. Raises Refusal beyond it."""
    yield from range(most)
    raise Refusal(f"{file} has more than {most:,} {what}; save it anew with another program")


def _found(size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None or min(size) < 1:
        raise _NotAPicture
    return size
