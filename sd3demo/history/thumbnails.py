"""Small pictures for a gallery: written with a run, so that a page of runs decodes nothing large."""

import io

from PIL import Image

from sd3demo.engine.events import Pixels

SIDE = 128  # pixels, at most


def thumbnail(pixels: Pixels) -> bytes:
    """A picture (H, W, 3) as a small WebP file, without loss where it is as small as that already."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    exact = max(image.size) <= SIDE
    image.thumbnail((SIDE, SIDE))
    image.save(file, format="WEBP", lossless=exact, quality=80)
    return file.getvalue()
