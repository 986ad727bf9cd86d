"""Finished runs on the disk. A run is a folder with request.json, result.json and the pictures.

It is written aside, brought to the disk, and renamed into its place in one step: whoever looks finds all of
it or nothing. What a killed process leaves aside is known by its lock, which died with the process, and is
taken away when the next run is saved.
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sd3demo.engine.events import Finished, Pixels
from sd3demo.errors import Refusal
from sd3demo.history.atomic_write import NEW, OLD, clear, locked, sync, write_through
from sd3demo.history.receipts import Receipt, receipts_of, to_png
from sd3demo.history.thumbnails import thumbnail
from sd3demo.settings import Resolved, identity

NAME = re.compile(r"(\d{8}-\d{6})(-\d{3})?-[0-9a-f]{8}(-\d+)?")
LIMIT = 4 * 2**30  # bytes of all runs together
THUMBNAIL = "thumbnail.webp"


@dataclass(frozen=True)
class Run:
    """A run as it lies on the disk."""

    id: str
    folder: Path
    images: tuple[Path, ...]

    @property
    def made(self) -> datetime:
        return made(self.id)


class RunStore:
    """The runs under one folder, which is made when the first of them is saved.

    All together have at most `limit` bytes: the oldest make room, but never for want of room the newest.
    """

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.root = root
        self.limit = limit

    def save(self, request: Resolved, finished: Finished, arms: Mapping[str, Resolved] | None = None) -> Run:
        """Keeps a finished run. Raises Refusal, and leaves nothing, where it cannot be written.

        `arms` are the requests of an extrapolation's pictures by their names, which become the files'.
        """
        pictures = {
            name: to_png(pixels, receipt)
            for name, pixels, receipt in _pictures(request, finished, arms or {})
        }
        files = {
            "request.json": _text(request.model_dump(mode="json")),
            "result.json": _text(result_of(finished) | {"images": list(pictures)}),
            THUMBNAIL: thumbnail(finished.pictures[0]),
            **pictures,
        }
        now = time.time_ns() // 10**6
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 1000))
        try:
            folder = self._write(f"{moment}-{now % 1000:03}-{identity(request)[:8]}", files)
        except OSError as error:
            raise Refusal(
                f"cannot keep the run in {self.root}: {error.strerror}; free some space or choose another"
                " folder"
            ) from error
        self.tidy(keep=folder.name)
        return Run(folder.name, folder, tuple(folder / name for name in pictures))

    def ids(self) -> list[str]:
        """The names of all runs, the newest first."""
        try:
            names = [name for name in os.listdir(self.root) if NAME.fullmatch(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(names, key=_age, reverse=True)

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        return [self._read(self.root / id) for id in self.ids()]

    def find(self, id: str) -> Run:
        """The run of that id. Raises Refusal where there is none."""
        folder = self.root / id
        if not NAME.fullmatch(id) or not folder.is_dir():
            raise Refusal(f"there is no run {id!r} in {self.root}")
        return self._read(folder)

    def discard(self, run: Run) -> None:
        """Takes a run away: out of sight in one step, then from the disk."""
        aside = self.root / f"{OLD}{run.id}-{os.getpid()}"
        os.rename(run.folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def size(self, id: str) -> int:
        """Bytes of a run's files; 0 when it is gone meanwhile."""
        try:
            with os.scandir(self.root / id) as files:
                return sum(file.stat().st_size for file in files)
        except OSError:
            return 0

    def tidy(self, keep: str = "") -> None:
        """Takes away what dead processes left, then the oldest runs above the limit, but for one."""
        if self.root.is_dir():
            for name in os.listdir(self.root):
                if name.startswith((NEW, OLD)):
                    clear(self.root / name)
        left = self.limit - self.size(keep)
        for id in self.ids():
            if id == keep:
                continue
            left -= self.size(id)
            if left < 0:
                with contextlib.suppress(OSError):  # another process was faster
                    self.discard(Run(id, self.root / id, ()))

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


def _age(id: str) -> tuple[str, int]:
    """For sorting: the time, then the number of a run among equal ones of one moment."""
    stem, number = re.fullmatch(r"(.*-[0-9a-f]{8})(?:-(\d+))?", id).groups()  # type: ignore[union-attr]
    return stem, int(number or 1)


def _pictures(
    request: Resolved, finished: Finished, arms: Mapping[str, Resolved]
) -> Iterator[tuple[str, Pixels, Receipt]]:
    """Each picture of a run with the name of its file and its receipt."""
    for receipt, pixels in zip(receipts_of(request, finished), finished.pictures, strict=True):
        if not arms:
            yield f"{receipt.picture}.png", pixels, receipt
    for name, asked in arms.items():
        made = finished.arms[name]
        if not made.noise_sha256:
            continue  # a picture of one's own, or that picture resampled: no run of ours to tell of
        for receipt, pixels in zip(receipts_of(asked, made), made.pictures, strict=True):
            place = f"-{receipt.picture + 1}" if len(made.pictures) > 1 else ""
            yield f"{name}{place}.png", pixels, receipt


def made(id: str) -> datetime:
    """When the run of an id was finished."""
    return datetime.strptime(id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


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


def _text(values: Mapping[str, object]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
