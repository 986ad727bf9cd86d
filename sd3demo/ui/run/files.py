"""Finished pictures as files that the browser gets, and as runs of the history."""

import re

from sd3demo.engine.events import Finished
from sd3demo.errors import Refusal
from sd3demo.history import receipts_of, to_png
from sd3demo.settings import Resolved
from sd3demo.ui.context import Core
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.server.gradio_internals import ServedFile, write_served_file


def write_pictures(request: Resolved, finished: Finished) -> tuple[ServedFile, ...]:
    """Write each picture with its receipt. Raises Refusal where the disk is full."""
    receipts = receipts_of(request, finished)
    return tuple(
        write_served_file(to_png(pixels, receipt), file_name(request.prompt, request.seed + receipt.picture))
        for pixels, receipt in zip(finished.pictures, receipts, strict=True)
    )


def file_name(prompt: str, seed: int) -> str:
    """What a picture's file is called: `a-red-circle-7.png`."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:40].strip("-")
    return f"{words or 'picture'}-{seed}.png"


def save_to_history(core: Core, request: Resolved, finished: Finished) -> str:
    """Save a run where the page keeps a history. A sentence where it could not: the picture is there."""
    if core.history is not None:
        try:
            core.history.save(request, finished)
        except Refusal as error:
            return sentence(error, {})
    return ""
