"""The history for a gallery: search, thumbnails, and the settings and results of a run, prompts cached."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sd3demo.errors import Refusal
from sd3demo.history.store import THUMBNAIL, Run, RunStore
from sd3demo.history.stored_json import check_format, from_format_1, request_from
from sd3demo.history.thumbnails import thumbnail_of
from sd3demo.settings import Resolved

STORED = ("format", "kind", "versions")
"""What a run's result.json says of its request.json, which holds settings alone."""


@dataclass(frozen=True)
class RunRecord:
    """A run with its settings and its results, the latter as history.store.result_of has written them."""

    run: Run
    request: Resolved
    result: Mapping[str, object]

    @property
    def weights_sha256(self) -> str:
        return str(self.result.get("weights_sha256", ""))


class HistoryIndex:
    """The runs of a store, the newest first."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._prompts: dict[str, str | None] = {}  # None where a folder holds no run that can be read

    def find(self, wanted: str = "") -> list[str]:
        """Return the ids of the runs whose prompt holds every word of a search, in any case."""
        parts = _plain(wanted).split()
        found = []
        for id in self.store.ids():
            prompt = self.prompt(id)
            if prompt is not None and all(part in _plain(prompt) for part in parts):
                found.append(id)
        return found

    def prompt(self, id: str) -> str | None:
        """Return the prompt of a run, None for a folder that is damaged."""
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
        """Return the thumbnail as WebP, b"" where there is none. Runs of older versions have no file."""
        folder = self.store.root / id
        try:
            return (folder / THUMBNAIL).read_bytes()
        except OSError:
            pass
        try:
            return thumbnail_of(self.store.find(id).images[0])
        except (OSError, IndexError, ValueError, SyntaxError, Image.DecompressionBombError):
            return b""

    def record(self, id: str) -> RunRecord:
        """Return a run with its settings and results. Raises Refusal where it is gone or damaged."""
        run = self.store.find(id)
        try:
            request = json.loads((run.folder / "request.json").read_text(encoding="utf-8"))
            result = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
            if not isinstance(result, dict) or not isinstance(request, dict) or not run.images:
                raise ValueError("a part is missing")
        except (OSError, ValueError) as error:
            raise Refusal(f"the run {id} cannot be read: {error}; delete it or make it again") from error
        return RunRecord(run, self._request(request, result, f"the run {id}"), result)

    def _request(self, request: Mapping[str, object], result: Mapping[str, object], what: str) -> Resolved:
        """Return the settings of a run. A run of format 1 says nothing of its format."""
        stored = {"format": 1} | {name: result[name] for name in STORED if name in result}
        check_format(stored, what)
        stored["request"] = request
        return request_from(from_format_1(stored) if stored["format"] == 1 else stored, what)

    def size(self) -> int:
        """Return the bytes of all runs."""
        return sum(self.store.size(id) for id in self.store.ids())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
