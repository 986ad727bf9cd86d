"""The verdict under a picture: what its prompt asks for, and whether the judge finds it there."""

import threading
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.engine.events import Pixels
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from sd3demo.world.verdict import PictureVerdict, VerdictCheck, picture_verdict

SMALLEST_SIDE = 32  # pixels: in less the judge mistakes shapes


def verdicts_of(request: Request, pictures: Sequence[Pixels]) -> tuple[PictureVerdict | None, ...]:
    """Judge the pictures of a request; None for each where the judge does not know what was asked for.

    It knows the embedded models alone. Encoders with texts of their own, and a mask, ask for something else
    than the prompt says.
    """
    if not _can_judge(request):
        return (None,) * len(pictures)
    return tuple(
        picture_verdict(request.prompt, pixels) if min(pixels.shape[:2]) >= SMALLEST_SIDE else None
        for pixels in pictures
    )


def verdicts_of_files(
    request: Request, files: Sequence[Path], most_pixels: int
) -> tuple[PictureVerdict | None, ...]:
    """The same of PNG files; none for one with more pixels than are decoded, or that cannot be read."""
    if not _can_judge(request):
        return (None,) * len(files)
    return tuple(
        None if pixels is None else verdicts_of(request, [pixels])[0]
        for pixels in (decoded(file, most_pixels) for file in files)
    )


def decoded(file: Path, most_pixels: int) -> Pixels | None:
    """Return the picture of a PNG file, (H, W, 3); None for one too large by its header, or unreadable."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > most_pixels:
                return None
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def warm_judge() -> None:
    """Begin to bring in the judge beside a run, whose picture would wait for it."""
    threading.Thread(target=lambda: import_module("sd3demo.world.judge").prepare(), daemon=True).start()


def verdict_html(verdict: PictureVerdict | None) -> str:
    """Return a verdict as one line; "" without one."""
    if verdict is None:
        return ""
    checks = ", ".join(_check_html(check) for check in verdict.checks)
    unjudged = f"; not judged: {escape(', '.join(verdict.unjudged))}" if verdict.unjudged else ""
    head, kind = ("As asked", "passed") if verdict.passed else ("Not as asked", "missed")
    return f'<p class="obeys {kind}"><b>{head}:</b> {checks}{unjudged}</p>'


def verdict_text(verdict: PictureVerdict | None) -> str:
    """Return the same without marks, for a title or an alternative text."""
    if verdict is None:
        return ""
    missing = ", ".join(check.asked for check in verdict.checks if not check.holds)
    return f"Not as asked: {missing}" if missing else "As asked"


def _can_judge(request: Request) -> bool:
    try:
        judged = find(request.model).judged
    except Refusal:
        return False
    return judged and not (request.prompt_2 or request.prompt_3 or getattr(request, "mask_sha256", ""))


def _check_html(check: VerdictCheck) -> str:
    found = f" ({escape(check.found)})" if check.found else ""
    mark = '<span class="yes">✓</span>' if check.holds else '<span class="no">✗</span>'
    return f"{escape(check.asked)} {mark}{found}"
