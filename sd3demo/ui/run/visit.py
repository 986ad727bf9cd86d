"""What one visitor's page has, in one place on the server: the result that it shows, results before it, the
presses of Generate that wait, and the pictures that are pinned. A `gr.State` holds it, one a browser tab."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sd3demo.settings import Resolved, identity
from sd3demo.ui.run.result import RunResult
from sd3demo.ui.run.run_status import RunStatus

if TYPE_CHECKING:
    from sd3demo.ui.compare.pinned import PinnedPicture

RECENT = 64  # results that are remembered: a grid's cells, and what was generated around it
MOST_PRESSES = 4  # that wait behind the run that goes on
MOST_PINNED = 8
LONGEST_NAME = 40  # characters of a prompt that waits
NOT_TAKEN = f"{MOST_PRESSES} runs wait already: this press was not taken"


@dataclass(frozen=True)
class Press:
    """What a press of a button asks for: the settings of the form, or the request of a twin.

    `shown` are values that the form takes on when the run begins. `original` is the picture that a twin is
    made of, and `changed` says in words what differs.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    shown: Mapping[str, object] = field(default_factory=dict)
    request: Resolved | None = None
    original: RunResult | None = None
    changed: str = ""

    @property
    def name(self) -> str:
        """What the press is called while it waits."""
        return self.changed or str(self.settings.get("prompt", ""))

    @property
    def original_source(self) -> str:
        """Where the browser finds the picture that a twin is made of; "" for no twin."""
        return self.original.pictures[0].file.source if self.original else ""


class Visit:
    """The state of one browser tab. Handlers of several events share it, so it is no value but an object."""

    def __init__(self) -> None:
        self.result: RunResult | None = None
        self.previous: RunResult | None = None
        """The last result with finished pictures, to compare the next one with."""
        self.pinned: tuple[PinnedPicture, ...] = ()
        self.pair = ("", "")
        """The sources of the two pinned pictures that lie on one another."""
        self._recent: dict[str, RunResult] = {}
        self._presses: list[Press] = []
        self._current: Press | None = None
        self._is_running = False
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, object]) -> "Visit":
        """A new visit: gradio copies the one of the page for each tab that opens it."""
        return Visit()

    @property
    def is_running(self) -> bool:
        return self._is_running

    @property
    def waiting(self) -> tuple[Press, ...]:
        """The presses whose runs have not begun."""
        return tuple(self._presses)

    def show(self, result: RunResult) -> RunResult:
        """Make this the result that the page shows."""
        self.result = result
        if result.is_whole:
            self.previous = result
            self.remember(result)
        return result

    def remember(self, result: RunResult) -> None:
        """Keep a finished result to be found again, the oldest of many making room."""
        with self._lock:
            key = identity(result.request)
            self._recent.pop(key, None)
            self._recent[key] = result
            while len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]

    def find(self, request: Resolved) -> RunResult | None:
        """Return the result of a request that was seen in this visit, while its files are there."""
        found = self._recent.get(identity(request))
        if found is None or not all(os.path.isfile(each.file.path) for each in found.pictures):
            return None
        return found

    def press(self, press: Press) -> bool:
        """Let a press wait for its run; a second one for the same run is none. False where too many wait."""
        with self._lock:
            last = self._presses[-1] if self._presses else self._current
            if last is not None and (last.settings, last.request) == (press.settings, press.request):
                return True
            if len(self._presses) >= MOST_PRESSES + (not self._is_running):
                return False
            self._presses.append(press)
            return True

    def begin(self) -> bool:
        """Whether the caller is to run what waits: something does, and nobody else runs it."""
        with self._lock:
            if self._is_running or not self._presses:
                return False
            self._is_running = True
            return True

    def next(self) -> Press | None:
        """Return the next press to run. With None the run is over, and whoever presses next begins anew."""
        with self._lock:
            self._current = self._presses.pop(0) if self._presses else None
            self._is_running = self._current is not None
            return self._current

    def finish(self) -> None:
        """Let the press that is run be done: the same one may be made again."""
        with self._lock:
            self._current = None

    def end(self) -> None:
        """Let what runs be over, whatever it was."""
        with self._lock:
            self._current, self._is_running = None, False

    def clear(self) -> int:
        """Drop the presses that wait. Returns how many there were."""
        with self._lock:
            dropped, self._presses = len(self._presses), []
            return dropped

    def pin(self, picture: "PinnedPicture", beside: str = "") -> None:
        """Pin a picture, the oldest of many making room, beside another one, by default the last."""
        source = picture.file.source
        with self._lock:
            others = [each for each in self.pinned if each.file.source != source]
            self.pinned = (*others, picture)[-MOST_PINNED:]
            beside = beside or (others[-1].file.source if others else "")
        self.choose(beside, source)

    def unpin(self, source: str) -> None:
        """Take a picture out of the tray; all of them without a source."""
        with self._lock:
            self.pinned = tuple(each for each in self.pinned if source and each.file.source != source)
        self.choose(*self.pair)

    def choose(self, left: str, right: str) -> None:
        """Choose the two pictures that lie on one another; what is not pinned gives way to what is."""
        sources = [each.file.source for each in self.pinned]
        right = right if right in sources else next((each for each in sources[::-1] if each != left), "")
        left = (
            left
            if left in sources and left != right
            else next((each for each in sources if each != right), "")
        )
        self.pair = (left, right)


def with_waiting(status: RunStatus, visit: Visit) -> RunStatus:
    """The status with the presses that wait behind this run, in their order."""
    if not (waiting := visit.waiting) or not status.is_active:
        return status
    names = "; ".join(f"{place}. {press.name[:LONGEST_NAME]}" for place, press in enumerate(waiting, 1))
    return replace(status, behind=f"Next in the queue: {names}")
