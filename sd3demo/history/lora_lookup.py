"""The LoRAs of a receipt, found again by the hashes of their files; their names are hints.

Which files runs were made with is remembered in the user's data folder, as the folders of models are.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from sd3demo.catalogue.lora_files import asked_loras, offered_files, read_lora
from sd3demo.catalogue.spec import Adapter
from sd3demo.catalogue.user_folders import user_data
from sd3demo.errors import Refusal
from sd3demo.history.atomic_write import write_whole
from sd3demo.settings import Resolved

log = logging.getLogger(__name__)

MOST_FILES = 200

R = TypeVar("R", bound=Resolved)


def recorded_adapters(request: Resolved) -> tuple[Adapter, ...]:
    """Return the LoRAs that a stored request was run with, without their files."""
    hashes = request.lora_sha256.split(",") if request.lora_sha256 else []
    return tuple(
        Adapter(sha256, each.weight, short=each.short)
        for each, sha256 in zip(asked_loras(request.lora), hashes, strict=False)
    )


def with_lora_files(request: R, given: Sequence[str | Path] = ()) -> R:
    """Return a stored request with the files of its LoRAs: of those given, on offer, or remembered.

    One that is found nowhere keeps its name, and a plan says what is missing.
    """
    adapters = recorded_adapters(request)
    if not adapters:
        return request
    files = {_hash(file): str(file) for file in _candidates(given)}
    texts = [
        f"{files.get(adapter.sha256, asked.name)}:{asked.weight!r}"
        for adapter, asked in zip(adapters, asked_loras(request.lora), strict=False)
    ]
    return request.model_copy(update={"lora": ",".join(texts)})


def remember_loras(adapters: Sequence[Adapter]) -> None:
    """Keep the files of these LoRAs by their hashes; that it cannot be written is said in the log alone."""
    known = _remembered()
    kept = {**known, **{each.sha256: str(Path(each.file).absolute()) for each in adapters if each.file}}
    if kept == known:
        return
    file = _index_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        newest = dict([*kept.items()][-MOST_FILES:])
        write_whole({file: (json.dumps(newest, indent=2) + "\n").encode()})
    except (OSError, Refusal) as error:
        log.warning("cannot remember the file of a LoRA in %s: %s", file, error)


def _candidates(given: Sequence[str | Path]) -> Iterator[Path]:
    """Yield the files in the order in which a later one comes before an earlier one."""
    yield from map(Path, _remembered().values())
    yield from offered_files()
    yield from (Path(file).expanduser() for file in given)


def _hash(file: Path) -> str:
    """Return the hash of a LoRA's file, empty where there is none any more."""
    try:
        return read_lora(file).sha256
    except Refusal:
        return ""


def _remembered() -> dict[str, str]:
    try:
        found = json.loads(_index_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {sha256: file for sha256, file in pairs if isinstance(file, str)}


def _index_file() -> Path:
    return user_data() / "loras.json"
