"""Finished runs on the disk. A run is a folder with request.json, result.json and the pictures.

It is written aside, brought to the disk, and renamed into its place in one step: whoever looks finds all of
it or nothing.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sd3demo.engine.events import Finished
from sd3demo.errors import Refusal
from sd3demo.history.receipts import receipts_of, to_png
from sd3demo.settings import Resolved, identity

NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}(-\d+)?")


@dataclass(frozen=True)
class Run:
    """A run as it lies on the disk."""

    id: str
    folder: Path
    images: tuple[Path, ...]


class RunStore:
    """The runs under one folder, which is made when the first of them is saved."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def at_home(cls) -> "RunStore":
        """The store of this user: `sd3demo/runs` where the system keeps programs' data."""
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return cls(Path(data) / "sd3demo" / "runs")

    def save(self, request: Resolved, finished: Finished) -> Run:
        """Keeps a finished run. Raises Refusal, and leaves nothing, where it cannot be written."""
        pairs = zip(finished.pictures, receipts_of(request, finished), strict=True)
        pictures = {f"{receipt.picture}.png": to_png(pixels, receipt) for pixels, receipt in pairs}
        files = {
            "request.json": _text(request.model_dump(mode="json")),
            "result.json": _text(result_of(finished) | {"images": list(pictures)}),
            **pictures,
        }
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{identity(request)[:8]}"
        try:
            folder = self._write(stem, files)
        except OSError as error:
            raise Refusal(
                f"cannot keep the run in {self.root}: {error.strerror}; free some space or choose another"
                " folder"
            ) from error
        return Run(folder.name, folder, tuple(folder / name for name in pictures))

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        if not self.root.is_dir():
            return []
        folders = [folder for folder in self.root.iterdir() if NAME.fullmatch(folder.name)]
        return [self._read(folder) for folder in sorted(folders, reverse=True)]

    def find(self, id: str) -> Run:
        """The run of that id. Raises Refusal where there is none."""
        folder = self.root / id
        if not NAME.fullmatch(id) or not folder.is_dir():
            raise Refusal(f"there is no run {id!r} in {self.root}")
        return self._read(folder)

    def discard(self, run: Run) -> None:
        """Takes a run away: out of sight in one step, then from the disk."""
        aside = self.root / f".old-{run.id}-{os.getpid()}"
        os.rename(run.folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _read(self, folder: Path) -> Run:
        images = sorted(folder.glob("*.png"), key=lambda image: (len(image.name), image.name))
        return Run(folder.name, folder, tuple(images))

    def _write(self, stem: str, files: Mapping[str, bytes]) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            for name, content in files.items():
                _write_through(aside / name, content)
            _sync(aside)
            for attempt in range(1, 1000):
                folder = self.root / (stem if attempt == 1 else f"{stem}-{attempt}")
                if not folder.exists():
                    os.rename(aside, folder)
                    aside = folder  # from here on this is what a failure takes away
                    _sync(self.root)
                    return folder
            raise FileExistsError(17, "too many runs in one second")
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def result_of(finished: Finished) -> dict[str, object]:
    """What a run found, as JSON: the pictures aside."""
    return {
        "sigmas": list(finished.sigmas),
        "calls": finished.calls,
        "encoder_calls": finished.encoder_calls,
        "path_length": list(finished.path_length),
        "chord": list(finished.chord),
        "noise_sha256": list(finished.noise_sha256),
        "weights_sha256": finished.weights_sha256,
        "seconds": sum(finished.seconds.values()),
        "phases": dict(finished.seconds),
    }


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Writes files, all of them or none. Raises Refusal where they cannot be written."""
    aside: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            aside[path] = path.with_name(f".{path.name}.{os.getpid()}.part")
            _write_through(aside[path], content)
        for path, part in aside.items():
            os.replace(part, path)
    except OSError as error:
        for part in aside.values():
            part.unlink(missing_ok=True)
        raise Refusal(
            f"cannot write {path}: {error.strerror}; free some space or choose another place"
        ) from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """Brings a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(values: Mapping[str, object]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
