"""A visitor's picture: uploaded, looked at by its header, and decoded when it is needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sd3demo.engine.events import Pixels
from sd3demo.engine.image_header import PictureLimits
from sd3demo.engine.input_image import UNREAD, InputImage, read_own, read_size
from sd3demo.errors import Refusal
from sd3demo.settings import FILES
from sd3demo.ui.run.run_status import failed, finished, status_html
from sd3demo.ui.server.limits import Limits


@dataclass(frozen=True)
class OwnPicture:
    """A visitor's picture as the page remembers it: its file, and its size from the header."""

    path: str
    width: int
    height: int

    @property
    def unread(self) -> InputImage:
        """What can be planned for before it is decoded."""
        return InputImage(UNREAD, self.width, self.height)

    def read(self, limits: Limits) -> Pixels:
        """Decode it. Raises Refusal for one that is beyond the limits, or gone."""
        path = Path(self.path)
        try:
            return read_own(path, picture_limits(limits))
        except Refusal as error:
            raise Refusal(str(error).replace(str(path), f"“{path.name}”")) from error


def picture_limits(limits: Limits) -> PictureLimits:
    """What of a page's limits holds for a picture."""
    return PictureLimits(limits.picture_pixels, limits.picture_chunks)


def opened_picture(file: str | None, limits: Limits, what: str) -> tuple[str, OwnPicture | None]:
    """Return a status, and an uploaded picture, of which `what` says the use; nothing is decoded."""
    if not file:
        return "", None
    shown = f"“{Path(file).name}”"
    try:
        width, height = read_size(Path(file), picture_limits(limits))
    except Refusal as error:
        return status_html(failed(str(error).replace(file, shown))), None
    said = f"{escape(shown)}, {width} × {height} px, {what}."
    return status_html(finished(said)), OwnPicture(file, width, height)


@contextmanager
def pictures_by_name(given: Mapping[str, object]) -> Iterator[None]:
    """Let a Refusal name the pictures among these settings by their names, not by the server's paths."""
    try:
        yield
    except Refusal as error:
        text = str(error)
        for name in FILES:
            if path := str(given.get(name, "")):
                text = text.replace(path, f"“{Path(path).name}”")
        raise Refusal(text) from error
