"""Finished runs on the disk. A run is a folder with request.json, result.json and the pictures.

It is written aside, brought to the disk, and renamed into its place in one step: whoever looks finds all of
it or nothing. What a killed process leaves aside is known by its lock, which died with the process, and is
taken away when the next run is saved.
"""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sd3demo import __version__
from sd3demo.engine.events import Finished
from sd3demo.errors import Refusal
from sd3demo.history.atomic_write import NEW, OLD, clear, locked, sync, write_through
from sd3demo.history.model_lookup import remember_folder
from sd3demo.history.portable import portable_request
from sd3demo.history.receipts import receipts_of, to_png
from sd3demo.history.stored_json import FORMAT, kind_of
from sd3demo.history.thumbnails import thumbnail
from sd3demo.settings import Resolved, identity

NAME = re.compile(r"(\d{8}-\d{6})(-\d{3})?-[0-9a-f]{8}(-\d+)?")
LIMIT = 4 * 2**30  # bytes of all runs together
THUMBNAIL = "thumbnail.webp"
FAVOURITE = "favourite"
"""An empty file in the folder of a run that somebody marked: made or removed in one step, by any process."""
NATIVE = "native"
"""The name of the arm whose pictures the others of an extrapolation are made from."""


@dataclass(frozen=True)
class Run:
    """A run on the disk."""

    id: str
    folder: Path
    images: tuple[Path, ...]

    @property
    def finished_at(self) -> datetime:
        return finished_at(self.id)


class RunStore:
    """The runs under one folder, which is made when the first of them is saved.

    All together have at most `limit` bytes: the oldest make room, but never for want of room the newest, and
    favourites last.
    """

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.root = root
        self.limit = limit

    def check(self) -> None:
        """Raise Refusal where no run can be saved, before the work and not after it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.root, os.W_OK | os.X_OK)
        except OSError as error:
            raise self._refusal(error) from error
        if not writable:
            raise self._refusal(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))

    def save(
        self,
        request: Resolved,
        finished: Finished,
        arms: Mapping[str, Resolved] | None = None,
        *,
        pictures: Mapping[str, bytes] | None = None,
    ) -> Run:
        """Save a finished run. Raises Refusal, and leaves nothing, where it cannot be written.

        `arms` are the requests of an extrapolation's pictures by their names, which become the files'.
        `pictures` are the files of `picture_files`, where they are at hand.
        """
        pictures = picture_files(request, finished, arms) if pictures is None else pictures
        stored = {"format": FORMAT, "kind": kind_of(request), "versions": {"sd3demo": __version__}}
        files = {
            "request.json": _text(portable_request(request).model_dump(mode="json")),
            "result.json": _text(result_of(finished) | stored | {"images": list(pictures)}),
            THUMBNAIL: thumbnail(finished.pictures[0]),
            **{input_file(name): lossless(pixels) for name, pixels in finished.inputs.items()},
            **pictures,
        }
        now = time.time_ns() // 10**6
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 1000))
        try:
            folder = self._write(f"{moment}-{now % 1000:03}-{identity(request)[:8]}", files)
        except OSError as error:
            raise self._refusal(error) from error
        remember_folder(request.model, finished.weights_sha256)
        self.tidy(keep=folder.name)
        return Run(folder.name, folder, tuple(folder / name for name in pictures))

    def ids(self) -> list[str]:
        """Return the ids of all runs, the newest first."""
        try:
            names = [name for name in os.listdir(self.root) if NAME.fullmatch(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(names, key=_age, reverse=True)

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        return [self._read(self.root / id) for id in self.ids()]

    def find(self, id: str) -> Run:
        """Return the run of an id. Raises Refusal where there is none."""
        folder = self.root / id
        if not NAME.fullmatch(id) or not folder.is_dir():
            raise Refusal(f"there is no run {id!r} in {self.root}")
        return self._read(folder)

    def input_picture(self, name: str, sha256: str) -> Path | None:
        """Return the file of the picture that a run here started from, or of its mask, by its hash."""
        for id in self.ids():
            file = self.root / id / input_file(name)
            if file.is_file() and _stored_hash(self.root / id, name) == sha256:
                return file
        return None

    def is_favourite(self, id: str) -> bool:
        """Return whether a run is marked as a favourite."""
        return (self.root / id / FAVOURITE).exists()

    def mark_favourite(self, id: str, favourite: bool) -> None:
        """Mark a run as a favourite, or as none. Raises Refusal where it is gone or cannot be written."""
        mark = self.find(id).folder / FAVOURITE
        try:
            if favourite:
                mark.touch()
            else:
                mark.unlink(missing_ok=True)
        except FileNotFoundError as error:
            raise Refusal(f"there is no run {id!r} in {self.root}") from error
        except OSError as error:
            raise Refusal(f"cannot mark the run {id}: {error.strerror}") from error

    def discard(self, run: Run) -> None:
        """Delete a run: out of sight in one step, then from the disk."""
        aside = self.root / f"{OLD}{run.id}-{os.getpid()}"
        os.rename(run.folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def size(self, id: str) -> int:
        """Return the bytes of a run's files, 0 when it was deleted meanwhile."""
        try:
            with os.scandir(self.root / id) as files:
                return sum(file.stat().st_size for file in files)
        except OSError:
            return 0

    def tidy(self, keep: str = "") -> None:
        """Delete what dead processes left, then the oldest runs above the limit, but never `keep`.

        A favourite goes only where the favourites alone are above it.
        """
        if self.root.is_dir():
            for name in os.listdir(self.root):
                if name.startswith((NEW, OLD)):
                    clear(self.root / name)
        left = self.limit - self.size(keep)
        for id in sorted(self.ids(), key=lambda id: not self.is_favourite(id)):
            if id == keep:
                continue
            left -= self.size(id)
            if left < 0:
                with contextlib.suppress(OSError):  # another process was faster
                    self.discard(Run(id, self.root / id, ()))

    def _refusal(self, error: OSError) -> Refusal:
        return Refusal(
            f"cannot keep the run in {self.root}: {error.strerror}; free some space or choose another folder"
        )

    def _read(self, folder: Path) -> Run:
        images = sorted(folder.glob("*.png"), key=lambda image: (len(image.name), image.name))
        return Run(folder.name, folder, tuple(images))

    def _write(self, stem: str, files: Mapping[str, bytes]) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root) as aside:
            try:
                for name, content in files.items():
                    write_through(aside / name, content)
                sync(aside)
                for attempt in range(1, 1000):
                    folder = self.root / (stem if attempt == 1 else f"{stem}-{attempt}")
                    if not folder.exists():
                        os.rename(aside, folder)
                        aside = folder  # from here on this is what a failure takes away
                        sync(self.root)
                        return folder
                raise FileExistsError(17, "too many runs at once")
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise


def input_file(name: str) -> str:
    """Return what the file of a picture that a run started from is called in the run's folder."""
    return f"{name}.webp"


def lossless(pixels: NDArray[np.uint8]) -> bytes:
    """Return a WebP file of a picture in colour or grey, from which its pixels come back as they are."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="WEBP", lossless=True, exact=True)
    return file.getvalue()


def _stored_hash(folder: Path, name: str) -> str:
    """Return the hash of a run's input picture, empty where the run's file does not say it."""
    try:
        found = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get(f"{name}_sha256", "")) if isinstance(found, dict) else ""


def _age(id: str) -> tuple[str, int]:
    """Return a key for sorting: the time, then the number of a run among those of one moment."""
    stem, number = re.fullmatch(r"(.*-[0-9a-f]{8})(?:-(\d+))?", id).groups()  # type: ignore[union-attr]
    return stem, int(number or 1)


def picture_files(
    request: Resolved, finished: Finished, arms: Mapping[str, Resolved] | None = None
) -> dict[str, bytes]:
    """Return the PNG files of a run by their names, a receipt in each."""
    if not arms:
        receipts = receipts_of(request, finished)
        return {
            f"{receipt.picture}.png": to_png(pixels, receipt)
            for receipt, pixels in zip(receipts, finished.pictures, strict=True)
        }
    native = receipts_of(arms[NATIVE], finished.arms[NATIVE]) if NATIVE in arms else []
    files: dict[str, bytes] = {}
    for name, asked in arms.items():
        arm = finished.arms[name]
        if not arm.noise_sha256:
            continue  # a picture of one's own, or that picture resampled: no run of ours to tell of
        receipts = native if name == NATIVE else receipts_of(asked, arm, native)
        for receipt, pixels in zip(receipts, arm.pictures, strict=True):
            place = f"-{receipt.picture + 1}" if len(arm.pictures) > 1 else ""
            files[f"{name}{place}.png"] = to_png(pixels, receipt)
    return files


def finished_at(id: str) -> datetime:
    """Return when the run of an id was finished."""
    return datetime.strptime(id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def result_of(finished: Finished) -> dict[str, object]:
    """Return what a run found, but for its pictures, as JSON."""
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
        "unread": dict(finished.unread),
    }


def _text(values: Mapping[str, object]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
