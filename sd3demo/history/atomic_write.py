"""Writing so that whoever looks finds all of it or nothing, and finding what a killed process has left.

Files are written aside and brought to the disk before they get their names. A folder is locked while a
process writes in it: the lock dies with the process, so a folder without one is left over.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sd3demo.errors import Refusal

NEW, OLD = ".new-", ".old-"  # what is being written, and what is being taken away


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Writes files, all of them or none. Raises Refusal where they cannot be written."""
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
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync(folder: Path) -> None:
    """Brings a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[Path]:
    """A new folder to write in, locked for as long as this process works on it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=NEW, dir=root))
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(
                OSError
            ):  # a file system without locks, on which nothing is swept either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():  # else it was swept before it was locked
                yield folder
                return
        finally:
            os.close(descriptor)


def clear(folder: Path) -> None:
    """Takes a folder away unless somebody is writing in it."""
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
