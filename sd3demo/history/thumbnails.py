"""Thumbnails for a gallery, written with a run, so that a page of runs decodes nothing large."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from sd3demo.engine.events import Pixels

SIDE = 128  # pixels, at most
LARGEST = 2**25  # pixels of a picture that is decoded for it


def thumbnail(pixels: Pixels) -> bytes:
    """Return a picture (H, W, 3) as a small WebP file, lossless where it is as small already."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    exact = max(image.size) <= SIDE
    image.thumbnail((SIDE, SIDE))
    image.save(file, format="WEBP", lossless=exact, quality=80)
    return file.getvalue()


def thumbnail_of(file: Path) -> bytes:
    """Return the thumbnail of a PNG file. Raises ValueError for a huge one, and as Pillow does."""
    with Image.open(file, formats=["PNG"]) as image:
        if image.width * image.height > LARGEST:
            raise ValueError(f"{image.width} x {image.height} pixels are too many for a thumbnail")
        return thumbnail(np.array(image.convert("RGB")))
