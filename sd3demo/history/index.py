"""The store as a gallery asks for it: search, pages, and a run's words. What was read once is remembered."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sd3demo.errors import Refusal
from sd3demo.history.store import THUMBNAIL, Run, RunStore
from sd3demo.history.thumbnails import thumbnail_of
from sd3demo.settings import Resolved, parse
from sd3demo.settings.extrapolation import ResolvedExtrapolation


@dataclass(frozen=True)
class Record:
    """A run with all that it says of itself; `result` is what history.store.result_of has written."""

    run: Run
    request: Resolved
    result: Mapping[str, object]


class HistoryIndex:
    """The runs of a store, in the order of a gallery: the newest first."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._prompts: dict[str, str | None] = {}  # None where a folder holds no run that can be read

    def find(self, wanted: str = "") -> list[str]:
        """The runs whose prompt holds every word, whatever its case."""
        parts = _plain(wanted).split()
        found = []
        for id in self.store.ids():
            prompt = self.prompt(id)
            if prompt is not None and all(part in _plain(prompt) for part in parts):
                found.append(id)
        return found

    def prompt(self, id: str) -> str | None:
        """What a run was asked for; None for a folder that somebody has damaged."""
        if id not in self._prompts:
            try:
                values = json.loads((self.store.root / id / "request.json").read_text(encoding="utf-8"))
                self._prompts[id] = str(values["prompt"])
            except FileNotFoundError:
                return None  # deleted meanwhile
            except (OSError, ValueError, KeyError, TypeError):
                self._prompts[id] = None
        return self._prompts[id]

    def thumbnail(self, id: str) -> bytes:
        """A small picture, as WebP; b"" where there is none. Runs of older versions have no file of it."""
        folder = self.store.root / id
        try:
            return (folder / THUMBNAIL).read_bytes()
        except OSError:
            pass
        try:
            return thumbnail_of(self.store.find(id).images[0])
        except (OSError, IndexError, ValueError, SyntaxError, Image.DecompressionBombError):
            return b""

    def record(self, id: str) -> Record:
        """Everything of one run. Raises Refusal where it is gone or damaged."""
        run = self.store.find(id)
        try:
            request = json.loads((run.folder / "request.json").read_text(encoding="utf-8"))
            result = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
            if not isinstance(result, dict) or not isinstance(request, dict) or not run.images:
                raise ValueError("a part is missing")
            kind = ResolvedExtrapolation if "method" in request else Resolved
            return Record(run, parse(kind, request), result)
        except (OSError, ValueError) as error:
            raise Refusal(f"the run {id} cannot be read: {error}; delete it or make it again") from error

    def size(self) -> int:
        """Bytes of all runs."""
        return sum(self.store.size(id) for id in self.store.ids())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
