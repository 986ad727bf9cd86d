"""Whether the weights on the disk are those that were published: every byte read, and its hash compared.

Two places say what a file's hash has to be: the Hub's cache, which names each file by it, and the card of a
model, `README.md`, whose lines `SHA-256  file` are those of `sha256sum`. Other files are not known.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sd3demo.catalogue.entries import locate
from sd3demo.catalogue.spec import ModelSpec
from sd3demo.catalogue.weight_files import weight_files

CARD = "README.md"
LISTED = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)
HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Integrity:
    """How many weight files have their published hash; the names of those that have another or none."""

    equal: int
    damaged: tuple[str, ...]
    unknown: tuple[str, ...]


def check_integrity(spec: ModelSpec) -> Integrity:
    """Read all weights of a model and compare their hashes. Raises Refusal where they are absent."""
    root = locate(spec)
    listed = _listed(root)
    equal, damaged, unknown = 0, [], []
    for component in sorted(spec.components):
        folder = spec.folder_of(component)
        for file in weight_files(root / folder):
            name = f"{folder}/{file.name}"
            wanted = _published(file) or listed.get(name)
            if wanted is None:
                unknown.append(name)
            elif _hash(file) == wanted:
                equal += 1
            else:
                damaged.append(name)
    return Integrity(equal, tuple(damaged), tuple(unknown))


def _published(file: Path) -> str | None:
    """The name of a blob in the Hub's cache, which is its hash."""
    blob = Path(os.path.realpath(file))
    return blob.name if blob.parent.name == "blobs" and HASH.fullmatch(blob.name) else None


def _listed(root: Path) -> dict[str, str]:
    """The hashes of a model's card, by the file's path within the model's folder."""
    try:
        text = (root / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: digest for digest, name in LISTED.findall(text)}


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
