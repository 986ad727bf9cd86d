"""Export of runs as one zip file, a folder each, written file by file so that it takes no memory."""

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from sd3demo.errors import Refusal
from sd3demo.history.store import RunStore

RESERVE = 64 * 2**20  # bytes that stay free on the disk


def export(store: RunStore, ids: Sequence[str], file: Path) -> int:
    """Write the runs of these ids to a zip file and return how many of them were still there.

    Raises Refusal, and leaves no file, where there is nothing to write or no room.
    """
    if not ids:
        raise Refusal("no run is chosen; mark some, or search for others")
    needed, free = sum(store.size(id) for id in ids), shutil.disk_usage(_nearest_folder(file)).free
    if needed + RESERVE > free:
        raise Refusal(
            f"the zip needs {needed / 2**20:,.0f} MiB and {free / 2**20:,.0f} MiB are free; "
            "choose fewer runs or free some space"
        )
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:  # PNGs are compressed already
            written = sum(_add(archive, store, id) for id in ids)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Refusal(f"cannot write the zip: {error.strerror}; free some space") from error
    if not written:
        file.unlink()
        raise Refusal("these runs are no longer there; look at the history again")
    return written


def _add(archive: zipfile.ZipFile, store: RunStore, id: str) -> bool:
    """Add a run to the archive, and return whether it was still there."""
    try:
        folder = store.find(id).folder
        files = sorted(path for path in folder.iterdir() if path.is_file())
        for path in files:
            archive.write(path, f"{id}/{path.name}")
        return bool(files)
    except (Refusal, FileNotFoundError):
        return False


def _nearest_folder(file: Path) -> Path:
    """Return the nearest folder above a file that exists."""
    return next(folder for folder in file.absolute().parents if folder.is_dir())
