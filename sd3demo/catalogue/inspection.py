"""What a path is and whether it can be run here: a file or a folder, by headers and configs alone."""

from dataclasses import dataclass, field
from pathlib import Path

from sd3demo.catalogue.entries import find
from sd3demo.catalogue.file_kinds import FileKind, file_kind
from sd3demo.catalogue.folders import LORA_FILE
from sd3demo.catalogue.single_files import split_model
from sd3demo.catalogue.spec import ModelSpec
from sd3demo.catalogue.weight_files import read_json, single_files_in
from sd3demo.errors import Refusal


@dataclass(frozen=True)
class Inspection:
    """A path's kind and family, the spec that runs it where there is one, and a sentence of what it is."""

    path: str
    kind: str
    family: str
    reason: str
    spec: ModelSpec | None = None
    file: FileKind | None = None
    holds: tuple[str, ...] = field(default_factory=tuple)
    """The files and folders that are worth a look themselves."""


def inspect_path(path: str) -> Inspection:
    """Return what a path is. Raises Refusal where there is nothing."""
    place = Path(path).expanduser()
    if place.is_dir():
        return _folder(path, place)
    single = split_model(path)
    if single is None:
        raise Refusal(f"there is nothing at {path}; give a file or a folder")
    kind = file_kind(single[0])
    spec, reason = None, f"{single[0]} is {kind.what}"
    if kind.runnable:
        spec, reason = _run(path, reason)
    return Inspection(path, kind.kind, kind.family, reason, spec, kind)


def _folder(path: str, folder: Path) -> Inspection:
    index, config = folder / "model_index.json", folder / "config.json"
    if index.is_file():
        try:
            name = str(read_json(index).get("_class_name"))
        except Refusal as error:
            return Inspection(path, "damaged", "", str(error))
        spec, reason = _run(path, f"{folder} is a {name} in diffusers format")
        return Inspection(path, "model", spec.family if spec else "", reason, spec)
    _, reason = _run(path, "")
    if (folder / LORA_FILE).is_file():
        kind = file_kind(folder / LORA_FILE)
        return Inspection(path, kind.kind, kind.family, reason, None, kind)
    if config.is_file():
        return Inspection(path, "component", "", reason)
    snapshots = tuple(sorted(str(each.parent) for each in folder.glob("snapshots/*/model_index.json")))
    if snapshots:
        return Inspection(path, "hub-cache", "", reason, holds=snapshots)
    found = tuple(str(file) for file in single_files_in(folder))
    return Inspection(path, "files" if found else "folder", "", reason, holds=found)


def _run(path: str, what: str) -> tuple[ModelSpec | None, str]:
    """The spec that runs a path, or the sentence why there is none."""
    try:
        spec = find(path)
        return spec, f"{what}; all else comes from {spec.folder}" if spec.file else what
    except Refusal as error:
        return None, str(error)
