"""The history for a gallery: search, thumbnails, and the settings and results of a run, settings cached."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sd3demo.errors import Refusal
from sd3demo.history.run_search import FIELDS, parse_search
from sd3demo.history.store import THUMBNAIL, Run, RunStore
from sd3demo.history.stored_json import check_format, from_format_1, request_from
from sd3demo.history.thumbnails import thumbnail_of
from sd3demo.settings import Resolved

HASHES = "_sha256"
MACHINE = ("precision", "placement")
"""Settings that the machine decides, which nobody has changed between two runs."""
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

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes of the first picture's noise and of the weights, by their names; empty without them."""
        noises = self.result.get("noise_sha256")
        noise = str(noises[0]) if isinstance(noises, list) and noises else ""
        return {"noise_sha256": noise, "weights_sha256": self.weights_sha256}


class HistoryIndex:
    """The runs of a store, the newest first."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._settings: dict[str, Mapping[str, object] | None] = {}

    def find(self, wanted: str = "") -> list[str]:
        """Return the ids of the runs that a search is for, see `run_search`. Raises Refusal as it does."""
        search = parse_search(wanted)
        found = []
        for id in self.store.ids():
            if search.favourites and not self.store.is_favourite(id):
                continue
            settings = self.settings(id)
            if settings is not None and search.matches(settings):
                found.append(id)
        return found

    def settings(self, id: str) -> Mapping[str, object] | None:
        """Return what of a run's settings differs from the defaults, None for a folder that is damaged."""
        if id not in self._settings:
            try:
                values = json.loads((self.store.root / id / "request.json").read_text(encoding="utf-8"))
                self._settings[id] = {"prompt": str(values["prompt"]), **without_defaults(values)}
            except FileNotFoundError:
                return None  # deleted meanwhile
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                self._settings[id] = None
        return self._settings[id]

    def prompt(self, id: str) -> str | None:
        """Return the prompt of a run, None for a folder that is damaged."""
        settings = self.settings(id)
        return None if settings is None else str(settings["prompt"])

    def changes(self, id: str, before: str) -> dict[str, tuple[object, object]]:
        """Return the settings in which a run differs from another, each with the value there and here."""
        old, new = self.settings(before) or {}, self.settings(id) or {}
        changed = {}
        for name in (name for name in FIELDS if name in old or name in new):
            default = FIELDS[name].default if not FIELDS[name].is_required() else None
            was, now = old.get(name, default), new.get(name, default)
            if was != now and not name.endswith(HASHES) and name not in MACHINE:
                changed[name] = (was, now)
        return changed

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


def without_defaults(values: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that say something; those that this version does not know are left out."""
    return {
        name: value
        for name, value in values.items()
        if name in FIELDS and (FIELDS[name].is_required() or value != FIELDS[name].default)
    }
