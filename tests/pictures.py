"""Pictures and masks in files, to start runs from."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw_init(folder: Path, width: int = 64, height: int = 64, name: str = "init.png") -> Path:
    """Write a picture of waves in colour."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7) + np.cos(y / 9), np.sin(x / 5 + y / 11), np.cos((x - y) / 13)]
    pixels = np.stack([127.5 + 60 * wave for wave in waves], -1).astype(np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def draw_mask(folder: Path, width: int = 64, height: int = 64, name: str = "mask.png") -> Path:
    """Write a mask whose right half is white."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    Image.fromarray(pixels).save(folder / name)
    return folder / name
