"""The picture that a run starts from, and its mask, at the size of the run and known by their hashes.

What is read is brought to the size of the run at once, with Lanczos's kernel as diffusers does, so that a
plan carries no more than that; one file is decoded at a time.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sd3demo.engine.events import Pixels
from sd3demo.engine.image_header import PictureLimits
from sd3demo.engine.input_image import READ, own_of, read_own, read_size
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Resolved

Mask = NDArray[np.uint8]
"""(H, W): 255 is repainted, 0 is kept."""
LUMA = (0.299, 0.587, 0.114)
HALF = 128
"""From this value on a pixel of a mask counts as white."""

_decoding = Lock()


@dataclass(frozen=True, eq=False)
class InitPicture:
    """A picture (H, W, 3) and its mask, as a run has them; `file_size` is (width, height) of the file."""

    pixels: Pixels
    mask: Mask | None
    file_size: tuple[int, int]

    @property
    def sha256(self) -> str:
        return own_of(self.pixels).sha256

    @property
    def inputs(self) -> dict[str, NDArray[np.uint8]]:
        """What a history keeps of it, by the settings' names."""
        return {"init": self.pixels} | ({} if self.mask is None else {"mask": self.mask})

    @property
    def mask_sha256(self) -> str:
        if self.mask is None:
            return ""
        height, width = self.mask.shape
        return hashlib.sha256(f"{width}x{height}:".encode() + self.mask.tobytes()).hexdigest()


def init_size(request: Request, limits: PictureLimits = READ) -> tuple[int, int] | None:
    """(width, height) of the picture to start from, from its header; None where there is none.

    Raises Refusal for what is no picture, and for a mask of another size.
    """
    if not request.init:
        return None
    size = read_size(Path(request.init), limits)
    if request.mask and (other := read_size(Path(request.mask), limits)) != size:
        raise Refusal(
            f"mask is {other[0]} x {other[1]} and init {size[0]} x {size[1]}; give a mask of the size of init"
        )
    return size


def read_init(request: Request, width: int, height: int, limits: PictureLimits = READ) -> InitPicture | None:
    """The picture that a request starts from, at the size of the run; None where there is none."""
    if not request.init:
        return None
    stamps = tuple(_stamp(Path(file)) for file in (request.init, request.mask) if file)
    return _read(request.init, request.mask, stamps, width, height, limits)


@lru_cache(maxsize=4)  # a grid asks for one picture as often as it has cells
def _read(
    init: str, mask_file: str, stamps: tuple[object, ...], width: int, height: int, limits: PictureLimits
) -> InitPicture:
    with _decoding:
        pixels = read_own(Path(init), limits)
        file_size = (pixels.shape[1], pixels.shape[0])
        pixels = _resized(pixels, width, height)
        mask = None
        if mask_file:
            colours = read_own(Path(mask_file), limits)
            grey = np.round(colours @ np.array(LUMA)).astype(np.uint8)
            mask = _resized(grey, width, height)
    if mask is not None and mask.max() < HALF:
        raise Refusal(
            "mask has no white pixel, so nothing would be repainted; paint white what should be new"
        )
    return InitPicture(pixels, mask, file_size)


def _stamp(file: Path) -> tuple[int, int]:
    """What tells a file from one that was there before; a file that is gone is refused when it is read."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def check_init(request: Request, found: InitPicture | None) -> None:
    """Raises Refusal where a request from a receipt lacks its picture or its mask, or has others."""
    if not isinstance(request, Resolved):
        return
    hashes = ("", "") if found is None else (found.sha256, found.mask_sha256)
    wanted = (request.init_sha256, request.mask_sha256)
    for name, sha256, here in zip(("init", "mask"), wanted, hashes, strict=True):
        if sha256 and not here:
            raise Refusal(
                f"{name} is missing: this was made from a {_NOUNS[name]}, SHA-256 {sha256[:12]}..; give it "
                f"with --{name}"
            )
        if sha256 != here:
            raise Refusal(
                f"{name} is not the {_NOUNS[name]} that this was made from; give the same one, unchanged"
                if sha256
                else f"{name} is given, and this was made without one; leave it out"
            )


_NOUNS = {"init": "picture", "mask": "mask"}


def _resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
