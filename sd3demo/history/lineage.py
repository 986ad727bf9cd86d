"""Which run an enlarged picture comes from, and which runs enlarged a picture: both ways through the history.

The receipt of an enlarged picture holds its parent's settings, and the hashes of the parent's noise and
weights. A run of the history that made just that picture is its parent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from sd3demo.errors import Refusal
from sd3demo.history.index import HistoryIndex, without_defaults
from sd3demo.history.receipts import PictureRecord, read_receipt
from sd3demo.history.stored_json import canonical

NO_MATTER = ("seed", "count", "model", "placement")
"""Settings that the hashes of noise and weights cover, or that do not change a picture."""


@dataclass(frozen=True)
class Lineage:
    """The runs that made the picture which a run enlarged, and those that enlarged a picture of it."""

    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureKeys:
    """What names the pictures that a run made at the native size, and those that it enlarged."""

    native: frozenset[str] = frozenset()
    enlarged: frozenset[str] = frozenset()


class LineageIndex:
    """The lineage of the runs of a history; what was read of a run is cached."""

    def __init__(self, index: HistoryIndex) -> None:
        self._index = index
        self._keys: dict[str, PictureKeys] = {}

    def of(self, id: str) -> Lineage:
        """Return the lineage of a run, the newest first; of one that is gone or damaged there is none."""
        own = self.keys(id)
        others = [(other, self.keys(other)) for other in self._index.store.ids() if other != id]
        return Lineage(
            parents=tuple(other for other, keys in others if own.enlarged & keys.native),
            children=tuple(other for other, keys in others if own.native & keys.enlarged),
        )

    def keys(self, id: str) -> PictureKeys:
        """Return what names the pictures of a run, and their parents."""
        if id not in self._keys:
            try:
                self._keys[id] = self._read(id)
            except FileNotFoundError:
                return PictureKeys()  # deleted meanwhile
            except (OSError, ValueError, KeyError, TypeError, Refusal):
                self._keys[id] = PictureKeys()
        return self._keys[id]

    def _read(self, id: str) -> PictureKeys:
        folder = self._index.store.root / id
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if result.get("kind", "generate") == "generate":
            settings = self._index.settings(id) or {}
            weights, noises = str(result["weights_sha256"]), result["noise_sha256"]
            return PictureKeys(native=frozenset(_key(settings, str(noise), weights) for noise in noises))
        receipts = [read_receipt(image) for image in self._index.store.find(id).images]
        return PictureKeys(enlarged=frozenset(key_of(each.parent) for each in receipts if each.parent))


def key_of(picture: PictureRecord) -> str:
    """Return what names the picture of a record."""
    settings = without_defaults(picture.request.model_dump(mode="json"))
    return _key(settings, picture.noise_sha256, picture.weights_sha256)


def _key(settings: Mapping[str, object], noise: str, weights: str) -> str:
    rest = {name: value for name, value in settings.items() if name not in NO_MATTER}
    return hashlib.sha256(canonical({**rest, "noise": noise, "weights": weights}).encode()).hexdigest()
