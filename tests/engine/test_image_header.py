"""Pictures that are small as files and large otherwise: refused from their headers, nothing decoded."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.engine.image_header import PictureLimits, check_header
from sd3demo.engine.input_image import read_own, read_size
from sd3demo.errors import Refusal

FEW = PictureLimits(pixels=2**20, chunks=1000)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, between: bytes = b"", pixels: bytes | None = None) -> bytes:
    """A PNG of one bit a pixel, all of them black."""
    rows = bytes(height * (1 + (width + 7) // 8)) if pixels is None else pixels
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), between, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(width: int, height: int, scans: int = 1) -> bytes:
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, format="JPEG", progressive=scans > 1)
    content = bytearray(file.getvalue())
    place = content.index(b"\xff\xc2" if scans > 1 else b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    start = content.index(b"\xff\xda")
    return bytes(content[:start] + content[start:-2] * scans + content[-2:])


def webp(width: int, height: int) -> bytes:
    canvas = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "8192 x 8192 in 8 KB": (lambda: png(8192, 8192), "is 8192 x 8192, 67 megapixels, and at most 1 are read"),
    "a header that says 4 billion": (lambda: png(2**31, 2**31, pixels=b""), "megapixels, and at most 1 are"),
    "four million chunks": (
        lambda: png(64, 64, chunk(b"tEXt", b"a\0b") * 4_000_000),
        "has more than 1,000 chunks",
    ),
    "four million empty parts of pixels": (
        lambda: png(64, 64, chunk(b"IDAT") * 4_000_000),
        "has more than 1,000 chunks",
    ),
    "a JPEG of 65500 px": (lambda: jpeg(65500, 65500), "is 65500 x 65500, 4290 megapixels"),
    "a JPEG of a thousand scans": (lambda: jpeg(512, 512, 1000), "scans, and at most 100 are read here"),
    "a WebP of 16383 px": (lambda: webp(16383, 16383), "is 16383 x 16383, 268 megapixels"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("read", [read_own, read_size])
def test_a_bomb_is_refused_from_its_header(name: str, read: Callable[..., object], tmp_path: Path) -> None:
    content, words = BOMBS[name]
    file = tmp_path / "bomb"
    file.write_bytes(content())
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as error:
            read(file, FEW)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert words in str(error.value)
    assert most < 2**20


def test_a_bomb_is_as_small_as_it_is_said_to_be() -> None:
    assert len(png(8192, 8192)) < 10_000


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"progressive": True}, {"exif": Image.Exif()}])
def test_the_size_is_what_the_decoder_says(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "a"
    Image.fromarray(np.zeros((48, 80, 3), np.uint8)).save(file, format=kind, **options)
    assert check_header(file, FEW) == (80, 48)
    assert check_header(Path("x"), FEW, file.read_bytes()) == (80, 48)
    assert read_own(file).shape == (48, 80, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_is_read_as_colours(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (20, 10)).save(tmp_path / "a.png")
    assert read_own(tmp_path / "a.png").shape == (10, 20, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_has_its_sides_as_they_are_seen(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.arange(40 * 80 * 3).reshape(40, 80, 3).astype(np.uint8))
    for name in ("a.png", "a.webp"):
        picture.save(tmp_path / name, exif=exif, lossless=True)
        pixels = read_own(tmp_path / name)
        height, width, _ = pixels.shape
        assert read_size(tmp_path / name) == (width, height)
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(pixels, np.array(ImageOps.exif_transpose(image)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1\x12" * 99],
)
def test_a_damaged_exif_turns_nothing(exif: bytes, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (20, 10)).save(tmp_path / name, exif=exif)
        assert read_size(tmp_path / name) == (20, 10)
        assert read_own(tmp_path / name).shape == (10, 20, 3)


@pytest.mark.parametrize("cut", [3, 9, 20, 30])
@pytest.mark.parametrize("content", [png(64, 64), jpeg(16, 16), webp(64, 64)], ids=["png", "jpeg", "webp"])
def test_a_file_that_breaks_off_is_no_picture(content: bytes, cut: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content[:cut])
    with pytest.raises(Refusal, match="cannot be read as a picture"):
        read_own(tmp_path / "a")
