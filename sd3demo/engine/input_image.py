"""A picture of one's own in place of the native stage, known by its hash: a receipt can ask for it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sd3demo.engine.events import Pixels
from sd3demo.errors import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 8192  # px of a side
NARROWEST = 8  # how many times longer one side may be than the other


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
    short, long = sorted((height, width))
    if short < 8 or long > LONGEST or long > NARROWEST * short:
        raise Refusal(
            f"the picture is {width} x {height}; its sides must lie in [8, {LONGEST}], one at most "
            f"{NARROWEST} times the other"
        )
    size = f"{width}x{height}:".encode()
    return InputImage(hashlib.sha256(size + pixels.tobytes()).hexdigest(), width, height)


def read_own(file: Path) -> Pixels:
    """The picture in a file, turned as it says and without transparency. Raises Refusal where there is none.

    Its size is read from the header first, since a small file can unfold to any size.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=["PNG", "JPEG", "WEBP"]) as image:
            if max(image.size) > LONGEST:
                raise Refusal(
                    f"{file} is {image.width} x {image.height}; sides may have up to {LONGEST} px: shrink it"
                )
            picture = _eight_bits(ImageOps.exif_transpose(image)).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{file} cannot be read as a picture; give a PNG, JPEG or WebP file") from error
    white = Image.new("RGBA", picture.size, "white")
    pixels: Pixels = np.array(Image.alpha_composite(white, picture).convert("RGB"))
    return pixels


def _eight_bits(image: "Image") -> "Image":
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
