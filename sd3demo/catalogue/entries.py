"""How a checkpoint is found by its name or folder, and what to do about one that is not here."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sd3demo.catalogue.checkpoints import CATALOGUE, DEPTHS, EMBEDDED
from sd3demo.catalogue.folders import read_folder
from sd3demo.catalogue.single_files import read_file, split_model
from sd3demo.catalogue.spec import ModelSpec
from sd3demo.catalogue.weight_files import weights_hash
from sd3demo.errors import Refusal


def find(name: str) -> ModelSpec:
    """The spec of a catalogue name, a hub id or a folder. Raises Refusal with what exists."""
    by_hub = {spec.hub: spec for spec in CATALOGUE.values() if spec.hub}
    spec = CATALOGUE.get(name) or by_hub.get(name)
    if spec is not None:
        return _embedded(spec) if spec in EMBEDDED else spec
    if name in _OFFERED:
        return replace(read_folder(_OFFERED[name]), name=name)
    if name and os.path.isdir(os.path.expanduser(name)):  # False too for a name that no file system takes
        return read_folder(Path(name))
    if name and (single := split_model(name)) is not None:
        return read_file(*single, _companions, name)
    raise Refusal(
        f"unknown model {name!r}; choose one of {', '.join(CATALOGUE)}, or give a folder in diffusers format "
        "or a file"
    )


def offer(folder: Path) -> str:
    """Give the model of a folder a name for this process, the folder's last part, and return it.

    A page shows its models to strangers, who read no paths of this machine. Raises Refusal for a folder that
    holds no model.
    """
    place = folder.expanduser().absolute()
    read_folder(place)
    stem, number = place.name or "model", 1
    while (name := stem if number == 1 else f"{stem}-{number}") in CATALOGUE or (
        _OFFERED.get(name, place) != place
    ):
        number += 1
    _OFFERED[name] = place
    return name


def offered_folder(name: str) -> Path | None:
    """Return the folder of a name that `offer` gave; None where it gave no such name."""
    return _OFFERED.get(name)


_OFFERED: dict[str, Path] = {}


def locate(spec: ModelSpec) -> Path:
    """Where a model's files are on this disk; nothing is fetched. Raises Refusal with what to do."""
    if spec.folder:
        return Path(spec.folder)
    if spec.hub:
        from huggingface_hub import try_to_load_from_cache  # here, since it takes half a second to import

        index = try_to_load_from_cache(spec.hub, "model_index.json", revision=spec.revision)
        if isinstance(index, str):
            return Path(index).parent
        if others := _other_revisions(spec):
            raise Refusal(f"{how_to_get(spec)}, or give another revision that is here: --model {others[0]}")
    raise Refusal(how_to_get(spec))


def fingerprint(spec: ModelSpec) -> str:
    """The hash of a model's weights, by which they are known again. Raises Refusal where they are absent.

    Adapters count: with them it is another model, whose pictures, texts and receipts are its own.
    """
    folders = [spec.folder_of(component) for component in spec.components if component not in spec.in_file]
    weights = weights_hash(
        locate(spec) if folders else Path(), folders, Path(spec.file) if spec.file else None
    )
    if not spec.adapters:
        return weights
    applied = "".join(f"{each.sha256} {each.weight!r}\n" for each in spec.adapters)
    return hashlib.sha256(f"{weights}\n{applied}".encode()).hexdigest()


def how_to_get(spec: ModelSpec) -> str:
    """The sentence for a model whose files are not here."""
    if not spec.hub:
        return (
            f"the embedded model is not at {assets() / 'tiny'}; install the package with its assets, "
            "train one with `sd3demo train`, or choose another with --model"
        )
    accept = (
        f"accept its licence at https://huggingface.co/{spec.hub}, run `hf auth login`, then "
        if spec.gated
        else ""
    )
    excluded = "".join(f' --exclude "{pattern}"' for pattern in spec.not_fetched)
    return (
        f"{spec.name} is not on this disk: {accept}run "
        f"`hf download {spec.hub} --revision {spec.revision}{excluded}`"
    )


def _other_revisions(spec: ModelSpec) -> list[Path]:
    """The snapshots of a model's repository in the Hub's cache, of other commits than the pinned one."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{spec.hub.replace('/', '--')}" / "snapshots"
    return sorted(file.parent for file in repository.glob("*/model_index.json"))


def _companions(family: str) -> Iterator[Path]:
    """The folders of the catalogue's models of a family that are on this disk."""
    for spec in CATALOGUE.values():
        if spec.family == family and spec.hub:
            try:
                yield locate(spec)
            except Refusal:
                continue


def _embedded(spec: ModelSpec) -> ModelSpec:
    """The model inside: its folder's own figures, or its entry above while it is absent."""
    folder = assets() / "tiny"
    if not (folder / spec.transformer / "config.json").is_file():
        return spec
    read = read_folder(folder, spec.transformer)
    encoders = tuple(
        replace(each, tokens=min(each.limit, own.limit), limit=min(each.limit, own.limit))
        for each, own in zip(read.encoders, spec.encoders, strict=True)
    )
    return replace(
        read,
        name=spec.name,
        licence=spec.licence,
        encoders=encoders,
        shift=spec.shift,
        defaults=spec.defaults,
        note=spec.note,
        draws=spec.draws,
        judged=spec.judged,
    )


def depths() -> tuple[str, ...]:
    """The names of the embedded model's depths that are here, the shallowest first."""
    found = [find(spec.name) for spec in DEPTHS]
    return tuple(spec.name for spec in sorted(found, key=lambda spec: spec.network.depth) if spec.folder)


def assets() -> Path:
    """`sd3demo/_assets` in an installed package, `assets` beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_assets"
    return installed if installed.is_dir() else package.parent / "assets"
