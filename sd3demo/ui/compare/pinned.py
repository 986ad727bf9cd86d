"""A pinned picture: a file that this page serves, with the settings that its receipt holds.

The browser names it by its address, which nobody can guess who was not shown it.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from sd3demo.errors import Refusal
from sd3demo.history import model_on_offer, read_receipt, single_request
from sd3demo.settings import Resolved
from sd3demo.ui.run.picture_verdicts import verdicts_of_files
from sd3demo.ui.run.result import ResultPicture, RunResult
from sd3demo.ui.server.gradio_internals import ServedFile, upload_folder
from sd3demo.ui.server.limits import Limits
from sd3demo.world.verdict import PictureVerdict

PREFIX = "gradio_api/file="
LONGEST = 4096  # characters of an address


@dataclass(frozen=True)
class PinnedPicture:
    """A picture of the tray: its file, the settings of this one picture, and its verdict."""

    file: ServedFile
    request: Resolved
    verdict: PictureVerdict | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.request.width, self.request.height

    @property
    def result(self) -> RunResult:
        """The picture as the result that a twin of it is compared with."""
        return RunResult(self.request, "opened", (ResultPicture(self.file, self.verdict),))


def pinned_picture(source: str, models: tuple[str, ...], limits: Limits) -> PinnedPicture:
    """Return the picture of an address on this page. Raises Refusal for one that it does not serve, or that
    holds no receipt."""
    path, address = _served_path(source)
    try:
        receipt = read_receipt(path)
    except Refusal as error:
        raise Refusal(str(error).replace(str(path), f"“{path.name}”")) from error
    try:
        model = model_on_offer(receipt, models)
    except Refusal:
        model = ""  # it can be looked at all the same
    request = single_request(receipt, model)
    (verdict,) = verdicts_of_files(request, [path], limits.picture_pixels)
    return PinnedPicture(ServedFile(str(path), address, path.name), request, verdict)


def _served_path(source: str) -> tuple[Path, str]:
    """The file of an address, within the folder of served files, and the address as the page has it."""
    _, found, name = source[:LONGEST].partition(PREFIX)
    try:
        path = Path(unquote(name)).resolve()
        inside = bool(found) and path.is_relative_to(upload_folder().resolve()) and path.is_file()
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise Refusal("this picture is no file of this page any more; generate it again")
    return path, f"{PREFIX}{name}"
