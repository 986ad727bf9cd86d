"""A picture of one's own in place of the native stage, known by its hash: a receipt can ask for it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sd3demo.engine.events import Pixels
from sd3demo.engine.image_header import PictureLimits, check_header
from sd3demo.errors import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image as ImageFile

LONGEST = 8192  # px of a side
NARROWEST = 8  # how many times longer one side may be than the other
FORMATS = ("PNG", "JPEG", "WEBP")
READ = PictureLimits()
SIDEWAYS = 5  # the least orientation of EXIF that swaps the sides
UNREAD = "0" * 64
"""The hash of a picture that is planned for before it is decoded."""


@dataclass(frozen=True)
class InputImage:
    """What a plan has to know of it."""

    sha256: str
    width: int
    height: int


def own_of(pixels: Pixels) -> InputImage:
    """Of a picture (H, W, 3) in bytes. Raises Refusal for one that cannot stand for a native picture."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.name != "uint8":
        raise Refusal(
            f"the picture has the shape {pixels.shape}; give one in colour, (height, width, 3) bytes"
        )
    height, width, _ = pixels.shape
    _check_sides(width, height)
    size = f"{width}x{height}:".encode()
    return InputImage(hashlib.sha256(size + pixels.tobytes()).hexdigest(), width, height)


def _check_sides(width: int, height: int) -> None:
    """Raises Refusal for a size that cannot stand for a native picture."""
    short, long = sorted((height, width))
    if short < 8 or long > LONGEST or long > NARROWEST * short:
        raise Refusal(
            f"the picture is {width} x {height}; its sides must lie in [8, {LONGEST}], one at most "
            f"{NARROWEST} times the other"
        )


def read_size(file: Path, limits: PictureLimits = READ) -> tuple[int, int]:
    """Return width and height as they are seen, from the header alone. Raises Refusal as `read_own` does."""
    width, height = check_header(file, limits)
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as image:
            if "exif" in image.info and _orientation(image) >= SIDEWAYS:
                width, height = height, width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(file) from error
    _check_sides(width, height)
    return width, height


def read_own(file: Path, limits: PictureLimits = READ) -> Pixels:
    """The picture in a file, turned as it says and without transparency. Raises Refusal where there is none.

    Its size is read from the header first, since a small file can unfold to any size.
    """
    width, height = check_header(file, limits)
    if max(width, height) > LONGEST:
        raise Refusal(f"{file} is {width} x {height}; sides may have up to {LONGEST} px: shrink it")
    import numpy as np
    from PIL import Image

    turns = (
        Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    )  # fmt: skip
    try:
        with Image.open(file, formats=FORMATS) as image:
            image.load()
            orientation = _orientation(image)
            if image.has_transparency_data:
                above = image.convert("RGBA")
                picture = Image.new("RGBA", image.size, "white")
                picture.alpha_composite(above)
                picture = picture.convert("RGB")
            else:
                picture = _eight_bits(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(file) from error
    if orientation > 1:
        picture = picture.transpose(turns[orientation - 2])
    pixels: Pixels = np.array(picture)
    return pixels


def _orientation(image: "ImageFile") -> int:
    """How a picture is turned, 1 to 8; 1 where it does not say."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # what a damaged EXIF makes Pillow raise is of any kind
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _unreadable(file: Path) -> Refusal:
    return Refusal(f"{file} cannot be read as a picture; give a PNG, JPEG or WebP file")


def _eight_bits(image: "ImageFile") -> "ImageFile":
    """The picture with 8 bits a channel: Pillow's own conversion clips 16-bit grey where it should scale."""
    import numpy as np
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray(np.round(np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))


def check_own(expected: str, pixels: Pixels | None) -> None:
    """Raises Refusal where a plan and the picture that came with it do not belong together."""
    found = "" if pixels is None else own_of(pixels).sha256
    if found == expected:
        return
    if not found:
        raise Refusal(
            f"own is missing: this was made from a picture of one's own, SHA-256 {expected[:12]}..; give it"
        )
    raise Refusal(
        "own is not the picture that this was planned for; give the same one, unchanged"
        if expected
        else "own is given, and the plan has a native stage instead; plan with the picture"
    )
