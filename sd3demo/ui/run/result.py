"""One result: the pictures that a tab shows and all that it says of them, which belong to one run.

A finished run, one that was stopped, a dropped file, a link and a run of the history are each shown as such a
value; nothing on the page speaks of two runs at once.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from sd3demo.settings import Resolved
from sd3demo.ui.server.gradio_internals import ServedFile
from sd3demo.world.verdict import PictureVerdict

ResultState: TypeAlias = Literal["planned", "running", "stopped", "failed", "finished", "opened"]
"""`planned` is what a link asks for and nobody has run yet; `opened` comes from a file or the history."""


@dataclass(frozen=True)
class ResultPicture:
    """A picture by its file, and its verdict where there is one."""

    file: ServedFile
    verdict: PictureVerdict | None = None


@dataclass(frozen=True)
class RunResult:
    """What was asked for and what came of it, so far.

    `story` is what is said beside the pictures, as HTML; `origin` names the file of one that was opened;
    `link` is the address that sets the form to make it again. `steps` of `count` were done when it was
    stopped. `changed` is of a twin: the one setting in which it differs from the picture that it was made of.
    """

    request: Resolved
    state: ResultState
    pictures: tuple[ResultPicture, ...] = ()
    story: str = ""
    seconds: float = 0.0
    steps: int = 0
    count: int = 0
    origin: str = ""
    link: str = ""
    changed: str = ""
    key: str = field(default_factory=lambda: secrets.token_hex(4))
    """Tells the browser one result from another."""

    @property
    def is_whole(self) -> bool:
        """Whether its pictures are finished ones."""
        return self.state in ("finished", "opened") and bool(self.pictures)

    def ended(self, steps: int | None, count: int) -> "RunResult":
        """The same run, stopped after some steps, or failed where it was not stopped.

        Its picture is its last prediction.
        """
        if steps is None:
            return replace(self, state="failed")
        return replace(self, state="stopped", steps=steps, count=count)


def comparable(now: Resolved, before: RunResult | None) -> str:
    """Return the source of the picture before, where it can lie under this one: both alone, of one shape."""
    if before is None or not before.is_whole or now.count != 1 or before.request.count != 1:
        return ""
    alike = now.width * before.request.height == now.height * before.request.width
    return before.pictures[0].file.source if alike else ""
