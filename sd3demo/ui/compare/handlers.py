"""What the page answers to the tray: a picture pinned or unpinned, another pair, a twin."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gradio as gr

from sd3demo.errors import Refusal
from sd3demo.ui.compare.compare_view import MapView, tray_html
from sd3demo.ui.compare.difference import are_of_one_shape, compared, difference_sentence
from sd3demo.ui.compare.pinned import PinnedPicture, pinned_picture
from sd3demo.ui.compare.twins import twin_of
from sd3demo.ui.context import Core
from sd3demo.ui.extrapolate.compare_view import png
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.picture_verdicts import decoded
from sd3demo.ui.run.run_status import RunStatus, failed, status_html
from sd3demo.ui.run.visit import Press, Visit
from sd3demo.ui.run.wiring import queued
from sd3demo.ui.server.gradio_internals import write_served_file

OTHER_SHAPE = "The two pictures have different shapes, so there is no difference map."
UNREAD = "One of the two files cannot be read any more, so there is no difference map."


@dataclass(frozen=True)
class CompareHandlers:
    """The answers. What is pinned is in the visit: the browser names pictures by their addresses."""

    core: Core

    def act(self, visit: Visit, event: gr.EventData) -> str:
        """The tray after a press: `act` says of what, with a `source`, or a `left` and a `right`."""
        source = str(getattr(event, "source", ""))
        try:
            match getattr(event, "act", ""):
                case "pin":
                    self._toggle(visit, source)
                case "unpin" if source:
                    visit.unpin(source)
                case "clear":
                    visit.unpin("")
                case "pair":
                    visit.choose(str(getattr(event, "left", "")), str(getattr(event, "right", "")))
        except Refusal as error:
            return self.tray(visit, sentence(error, {}))
        return self.tray(visit)

    def twin(self, status: RunStatus, visit: Visit, event: gr.EventData) -> list[object]:
        """A twin was asked for: its original is pinned, and its run waits for its turn."""
        try:
            original = self._picture(visit, str(getattr(event, "source", "")))
            twin = twin_of(original.request, self.core.models, str(getattr(event, "twin", "")))
        except Refusal as error:
            said = failed(sentence(error, {}))
            return [gr.skip() if status.is_active else said, status_html(said)]
        visit.pin(original)
        visit.press(Press(request=twin.request, original=original.result, changed=twin.changed))
        return queued(status)

    def tray(self, visit: Visit, fault: str = "") -> str:
        """The tray as it stands."""
        return tray_html(visit.pinned, visit.pair, self._map(visit), self.core.models, fault)

    def _toggle(self, visit: Visit, source: str) -> None:
        if any(each.file.source == source for each in visit.pinned):
            visit.unpin(source)
        else:
            visit.pin(self._picture(visit, source))

    def _picture(self, visit: Visit, source: str) -> PinnedPicture:
        pinned = {each.file.source: each for each in visit.pinned}
        return pinned.get(source) or pinned_picture(source, self.core.models, self.core.limits)

    def _map(self, visit: Visit) -> MapView:
        pinned = {each.file.source: each for each in visit.pinned}
        if not all(source in pinned for source in visit.pair):
            return MapView("", "")
        left, right = (pinned[source] for source in visit.pair)
        if not are_of_one_shape(left.size, right.size):
            return MapView("", OTHER_SHAPE)
        return _map_of(left.file.path, right.file.path, self.core.limits.picture_pixels)


@lru_cache(maxsize=64)
def _map_of(left: str, right: str, most_pixels: int) -> MapView:
    """The difference map of two files; a file's path holds the hash of what is in it."""
    one, other = (decoded(Path(each), most_pixels) for each in (left, right))
    if one is None or other is None:
        return MapView("", UNREAD)
    found = compared(one, other)
    said = difference_sentence(found)
    if not found.largest:
        return MapView("", said)
    return MapView(write_served_file(png(found.pixels), "difference.png").source, said)
