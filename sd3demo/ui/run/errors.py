"""Errors as one sentence for a person: the one place of the page that turns them into words.

Each is counted and has a line in the operator's log, once. Only an error in a run, whose input was good, has
a traceback there: of a call with values that fit nothing, its kind and its place in the code are enough.
"""

import logging
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from sd3demo.errors import Failure, Refusal
from sd3demo.ui.server.run_log import write_refusal

log = logging.getLogger(__name__)

UNEXPECTED = "something went wrong that should not have; the details are in the log of whoever runs this page"
UNFIT = "this call was not answered: its values may not fit; the log of whoever runs this page says more"
QUOTA = "quota"  # the reason of what ZeroGPU refuses
OURS = Path(__file__).resolve().parents[2]
GUARD = "gradio_internals.py"  # through which every call goes
PATH = re.compile(r"(?<![\w.:/<])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\,;:'\"“”<>()]+){2,}[/\\]?")
"""A path of this machine within a sentence: two parts or more."""


def sentence(error: Exception, titles: Mapping[str, str]) -> str:
    """What to tell a person. A traceback goes to the log, for those who run the page.

    A sentence begins with the setting at fault; `titles` are what the settings are called where it is read.
    In place of a path of this machine stands the name of what lies there.
    """
    if isinstance(error, gr.Error):  # of ZeroGPU's quota, or of gradio itself: words for visitors already
        _report(error, QUOTA, str(error.message))
        return str(error.message)
    if isinstance(error, Refusal | Failure):
        first, _, rest = " ".join(str(error).split()).partition(" ")
        said = f"{titles.get(first, first)} {rest}"
        _report(error, error.reason, said)
        return without_paths(said)
    log.error("a run failed", exc_info=error)
    _report(error, "error", _kind(error))
    return UNEXPECTED


def without_paths(text: str) -> str:
    """The text with the last part of each path of this machine in its place."""
    return PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], text)


def explained(error: Exception, function: str) -> gr.Error:
    """An error of a call, of any function of the page, as the one that gradio shows; it has its line."""
    if isinstance(error, gr.Error):
        _report(error, "input", str(error.message), function)
        return error
    if isinstance(error, Refusal | Failure):
        said = sentence(error, {})
        return gr.Error(said, print_exception=False)
    log.debug("a call of %s failed", function, exc_info=error)
    _report(error, "call", _kind(error), function)
    return gr.Error(UNFIT, print_exception=False)


def reported(error: gr.Error) -> gr.Error:
    """The same error, as one that has its line already."""
    error.__dict__["reported"] = True
    return error


def _report(error: Exception, reason: str, text: str, function: str = "") -> None:
    if "reported" in error.__dict__:
        return
    error.__dict__["reported"] = True
    write_refusal(reason, text[:500], function)


def _kind(error: Exception) -> str:
    """What an error is and where in this project it came up, in a line."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if OURS in Path(frame.filename).parents and Path(frame.filename).name != GUARD
    ]
    told = " ".join(str(error).split())[:200]
    place = f" at {Path(frames[-1].filename).relative_to(OURS)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {told}{place}"
