"""Atomic writes of files and folders, and the removal of what a killed process has left.

Files are written under another name and flushed to the disk before they get their own. A folder is locked
while a process writes in it: the lock dies with the process, so a folder without one is left over. Where the
system has no such locks (Windows), a folder is left over when nothing in it has changed for a day.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from sd3demo.errors import Refusal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NEW, OLD = ".new-", ".old-"  # prefixes of folders that are being written, and that are being deleted
ABANDONED = 24 * 60 * 60  # seconds without a change, where there are no locks


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Write files, all of them or none. Raises Refusal where they cannot be written."""
    aside: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            aside[path] = path.with_name(f".{path.name}.{os.getpid()}.part")
            write_through(aside[path], content)
        for path, part in aside.items():
            os.replace(part, path)
    except OSError as error:
        for part in aside.values():
            part.unlink(missing_ok=True)
        raise Refusal(
            f"cannot write {path}: {error.strerror}; free some space or choose another place"
        ) from error


def write_through(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync(folder: Path) -> None:
    """Flush a folder's list of names to the disk, where the system can."""
    if fcntl is None:
        return  # Windows opens no folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[Path]:
    """Yield a new folder to write in, locked for as long as this process works on it."""
    if fcntl is None:
        yield Path(tempfile.mkdtemp(prefix=NEW, dir=root))
        return
    while True:
        folder = Path(tempfile.mkdtemp(prefix=NEW, dir=root))
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks, on which nothing is cleared
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():  # else it was cleared before it was locked
                yield folder
                return
        finally:
            os.close(descriptor)


def clear(folder: Path) -> None:
    """Delete a folder unless a process is writing in it."""
    if fcntl is None:
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # its lock is held
    finally:
        os.close(descriptor)
