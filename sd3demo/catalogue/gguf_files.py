"""The header of a GGUF file: its metadata and the shapes of its tensors, without the gguf library.

The format (github.com/ggml-org/ggml, docs/gguf.md): a magic word, a version, two counts, then the metadata
as typed values, then a name, a shape, a type and an offset for each tensor. All numbers are little-endian.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sd3demo.errors import Refusal

MAGIC = b"GGUF"
MOST = 10_000_000  # of anything counted in a header: more is damage
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    10: "Q2_K",
    11: "Q3_K",
} | {
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    30: "BF16",
}
"""The tensor types that such files of image models have."""


@dataclass(frozen=True)
class GGUFHeader:
    """What a file says of itself: its architecture, and name -> (shape, type) of each tensor."""

    architecture: str
    tensors: dict[str, tuple[tuple[int, ...], str]]


def read_gguf(file: Path) -> GGUFHeader:
    """Return the header of a GGUF file. Raises Refusal if it is damaged or of another version."""
    try:
        with file.open("rb") as stream:
            return _header(stream)
    except (struct.error, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise Refusal(f"{file} is truncated or not a GGUF file; copy it again") from error


def _header(stream: BinaryIO) -> GGUFHeader:
    if stream.read(4) != MAGIC:
        raise ValueError("no GGUF file")
    version, tensors, values = _unpack(stream, "<IQQ")
    if version not in (2, 3) or max(tensors, values) > MOST:
        raise ValueError("another version, or damage")
    metadata = dict(_entry(stream) for _ in range(values))
    found = {}
    for _ in range(tensors):
        name = _string(stream)
        (dimensions,) = _unpack(stream, "<I")
        if dimensions > 8:
            raise ValueError("damage")
        shape = tuple(reversed(_unpack(stream, f"<{dimensions}Q")))  # the fastest dimension is written first
        number, _offset = _unpack(stream, "<IQ")
        found[name] = shape, TYPES.get(number, f"type {number}")
    # Some converters write a tensor of more than four dimensions flat and keep its shape in the metadata.
    for name, (_, kind) in found.items():
        original = metadata.get(f"comfy.gguf.orig_shape.{name}")
        if isinstance(original, list):
            found[name] = tuple(int(side) for side in original), kind
    return GGUFHeader(str(metadata.get("general.architecture", "")), found)


def _entry(stream: BinaryIO) -> tuple[str, object]:
    name = _string(stream)
    (kind,) = _unpack(stream, "<I")
    return name, _value(stream, kind)


def _value(stream: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _string(stream)
    if kind == _ARRAY:
        inner, count = _unpack(stream, "<IQ")
        if count > MOST:
            raise ValueError("damage")
        return list(_values(stream, inner, count))
    if kind not in _NUMBERS:
        raise ValueError(f"unknown type {kind}")
    return _unpack(stream, f"<{_NUMBERS[kind]}")[0]


def _values(stream: BinaryIO, kind: int, count: int) -> Iterator[object]:
    if kind in _NUMBERS:
        yield from _unpack(stream, f"<{count}{_NUMBERS[kind]}")
    else:
        yield from (_value(stream, kind) for _ in range(count))


def _string(stream: BinaryIO) -> str:
    (length,) = _unpack(stream, "<Q")
    if length > MOST:
        raise ValueError("damage")
    content = stream.read(length)
    if len(content) != length:
        raise ValueError("truncated")
    return content.decode("utf-8", "replace")


def _unpack(stream: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, stream.read(struct.calcsize(form)))
