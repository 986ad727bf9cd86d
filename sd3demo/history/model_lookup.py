"""The model of a receipt, found again by the hash of its weights; its name is a hint.

A receipt is shared, so it names a folder's model by the folder's last part alone. Which folders runs were
made from is remembered in the user's data folder, by hash.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sd3demo.catalogue import CATALOGUE, ModelSpec, find, fingerprint, how_to_get, offered_folder
from sd3demo.catalogue.single_files import absolute_model
from sd3demo.catalogue.user_folders import user_data
from sd3demo.errors import Refusal
from sd3demo.history.atomic_write import write_whole
from sd3demo.history.lora_lookup import recorded_adapters
from sd3demo.history.portable import is_catalogue_name
from sd3demo.settings import Resolved

log = logging.getLogger(__name__)

MOST_FOLDERS = 200


class WeightsRecord(Protocol):
    """A receipt, or a run of the history: settings with the hash of the weights that they were run on."""

    @property
    def request(self) -> Resolved: ...
    @property
    def weights_sha256(self) -> str: ...


@dataclass(frozen=True)
class FoundModel:
    """A model on this machine for a receipt; `model` is its name or folder as a request holds it.

    `same_weights` is whether its weights are those of the receipt; `note` is a sentence for people, empty
    where the receipt's own name leads to its weights.
    """

    model: str
    spec: ModelSpec
    same_weights: bool
    note: str


def model_for(
    receipt: WeightsRecord, models: Sequence[str | Path] = (), *, everywhere: bool = True
) -> FoundModel:
    """Return the model whose weights have the receipt's hash, or the one that comes nearest to it.

    It is looked for among `models`, which are names and folders, then by the receipt's own name, among the
    remembered folders and in the catalogue. A page that strangers reach says `everywhere=False`: then only
    `models` are looked at. Where no weights have the hash, the model of that name is returned, or else the
    first of `models`. Raises Refusal where there is neither.
    """
    name, wanted = receipt.request.model, receipt.weights_sha256
    given, adapters = [str(model) for model in models], recorded_adapters(receipt.request)
    for candidate in _candidates(name, wanted, given, everywhere):
        spec = _known(candidate)
        if spec is None or (not spec.components and candidate != name):
            continue  # a catalogue's name without any weights
        if _fingerprint(replace(spec, adapters=adapters)) == wanted:
            note = "" if candidate == name else f"the model is {name} in the receipt and {candidate} here"
            return FoundModel(candidate, spec, True, note)
    if everywhere:
        fallback = [*given, name] if given else [name]
    else:
        fallback = [model for model in given if model == name]
    for candidate in fallback:
        spec = _known(candidate)
        if spec is not None and _fingerprint(spec):
            note = f"no weights here have the receipt's hash, {wanted[:12]}…; {candidate} is used instead"
            return FoundModel(candidate, spec, False, note)
    raise Refusal(_how_to_give(name, wanted))


def model_on_offer(record: WeightsRecord, models: Sequence[str]) -> str:
    """Return which of the models on offer a record's settings are for: by its weights, else by its name.

    Settings can be shown for a model whose weights are not here. Raises Refusal where none is of that name.
    """
    name = record.request.model
    try:
        return model_for(record, models, everywhere=False).model
    except Refusal:
        for model in models:
            if name in (model, Path(model).name):
                return model
        raise Refusal(f"the model is {name}, which is not offered on this page") from None


def remember_folder(name: str, weights: str) -> None:
    """Keep the folder or the file of a model by the hash of its weights; a catalogue's name is not kept.

    That it cannot be written costs nothing but the memory, so it is said in the log alone.
    """
    offered = offered_folder(name)
    place = "" if is_catalogue_name(name) else str(offered.absolute()) if offered else absolute_model(name)
    known = remembered_folders()
    if not place or known.get(weights) == place:
        return
    known.pop(weights, None)
    kept = dict([*known.items(), (weights, place)][-MOST_FOLDERS:])
    file = _index_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole({file: (json.dumps(kept, indent=2) + "\n").encode()})
    except (OSError, Refusal) as error:
        log.warning("cannot remember the folder of a model in %s: %s", file, error)


def remembered_folders() -> dict[str, str]:
    """Return the folders that runs were made from, by the hash of their weights."""
    try:
        found = json.loads(_index_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {weights: folder for weights, folder in pairs if isinstance(folder, str)}


def _candidates(name: str, wanted: str, given: Sequence[str], everywhere: bool) -> Iterator[str]:
    """Yield names and folders in the order in which they are looked at, each once."""
    found = [*given]
    if everywhere:
        found += [name, remembered_folders().get(wanted, ""), *CATALOGUE]
    yield from filter(None, dict.fromkeys(found))


def _known(model: str) -> ModelSpec | None:
    """Return the spec of a name or a folder, None where there is none."""
    try:
        return find(model)
    except Refusal:
        return None


def _fingerprint(spec: ModelSpec) -> str:
    """Return the hash of a model's weights, empty where they are not on this disk."""
    try:
        return fingerprint(spec)
    except Refusal:
        return ""


def _how_to_give(name: str, weights: str) -> str:
    spec = CATALOGUE.get(name)
    if spec is not None:
        return f"{how_to_get(spec)}, or give its folder with --model FOLDER"
    return (
        f"the picture was made with the model {name!r}, whose weights have the hash {weights[:12]}…; no "
        "model here has them: give its folder with --model FOLDER"
    )


def _index_file() -> Path:
    return user_data() / "models.json"
