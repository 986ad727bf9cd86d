"""Measured cells on the disk, a line of JSON each, written one by one, so that a kill costs one cell.

A line that a kill has torn is skipped when the file is read again, and the next cell begins a new line.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from sd3demo.catalogue.user_folders import user_data
from sd3demo.errors import Refusal

Rekey: TypeAlias = Callable[[str, Mapping], str]
"""rekey(measurement, line): the key of a line, as it would be written today."""


class ResultCache:
    """The raw values of cells by their keys, from the files of these measurements, or in memory alone.

    Values that are added come out as a file would give them back, so that a table is the same to the last
    digit whether its cells were cached or not. All files together have at most `limit` bytes.
    """

    def __init__(
        self,
        folder: Path | None,
        measurements: Iterable[str],
        rekey: Rekey | None = None,
        *,
        limit: int | None = None,
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._values: dict[str, Mapping] = {}
        if folder is not None:
            for name in sorted(measurements):
                for line in _lines(folder / f"{name}.jsonl"):
                    self._values[rekey(name, line) if rekey else line["key"]] = line["raw"]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Mapping:
        return self._values[key]

    def add(self, measurement: str, key: str, given: Mapping, raw: Mapping) -> None:
        """Add a cell. Raises Refusal where the folder cannot be written."""
        line = json.dumps({"key": key, "given": given, "raw": raw}, ensure_ascii=True)
        self._values[key] = json.loads(line)["raw"]
        if self._folder is not None:
            try:
                _append(self._folder / f"{measurement}.jsonl", line)
                if self._limit is not None:
                    trim(self._folder, self._limit)
            except OSError as error:
                raise Refusal(
                    f"cannot keep what was measured in {self._folder}: {error.strerror}; free some space or "
                    "choose another folder"
                ) from error


def kept_at_home() -> Path:
    """Return the folder that keeps this user's measured cells."""
    return user_data() / "studies"


def beside(runs: Path) -> Path:
    """Return the folder of measured cells for a folder of runs; the user's own for the user's own runs."""
    return kept_at_home() if runs == user_data() / "runs" else runs / "studies"


def trim(folder: Path, limit: int) -> None:
    """Delete the oldest cells above the limit: of the largest file first, until a quarter is free again.

    A cell that another program adds at that moment may be lost, and is measured again.
    """
    sizes = {file: file.stat().st_size for file in folder.glob("*.jsonl")}
    if sum(sizes.values()) <= limit:
        return
    for file in sorted(sizes, key=lambda file: sizes[file], reverse=True):
        too_much = sum(sizes.values()) - limit * 3 // 4
        if too_much <= 0:
            return
        lines = file.read_bytes().splitlines(keepends=True)
        while lines and too_much > 0:
            too_much -= len(lines.pop(0))
        aside = file.with_suffix(f".{os.getpid()}.new")
        aside.write_bytes(b"".join(lines))
        os.replace(aside, file)
        sizes[file] = sum(map(len, lines))


def _lines(file: Path) -> Iterator[dict]:
    """Yield the whole lines of a file, the oldest first."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refusal(f"cannot read {file}: {error.strerror}; choose another folder") from error
    for line in text.split("\n"):
        try:
            values = json.loads(line)
            if isinstance(values["key"], str) and isinstance(values["raw"], dict):
                yield values
        except (ValueError, KeyError, TypeError):
            continue  # torn


def _append(file: Path, line: str) -> None:
    """Append a line in one write, since other programs may be writing to the file as well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b", buffering=0) as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                line = f"\n{line}"
        stream.write(f"{line}\n".encode())
