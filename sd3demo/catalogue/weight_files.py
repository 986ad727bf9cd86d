"""Safetensors files without torch: what a header promises, whether the file keeps it, and the hash of it all.

The format (github.com/huggingface/safetensors): eight bytes hold the header's length, then comes the header
as JSON with each tensor's dtype, shape and offsets, then the data, nothing after it. So a truncated file is
known from its size, before a byte of the data is read.
"""

import hashlib
import json
import math
import os
import re
from functools import lru_cache
from pathlib import Path

from sd3demo.catalogue.spec import Size
from sd3demo.errors import Refusal

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one component, in the order of their names, as the libraries choose them.

    When an index names shards, those and no others. Where the plain files are not there, a variant's are.
    Raises Refusal where there are none, where one is missing, and where there is only pickled code to run.
    """
    variant = variant_of(folder)
    index = folder / f"{stem(folder)}.safetensors.index{variant and f'.{variant}'}.json"
    if index.is_file():
        named = read_json(index).get("weight_map")
        names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise Refusal(
                f"{folder} lacks {missing[0]}, which its index {index.name} names; "
                "copy or download the folder again, whole"
            )
        if names:
            return [folder / name for name in names]
    file = folder / f"{stem(folder)}{variant and f'.{variant}'}.safetensors"
    if file.is_file():
        return [file]
    pickled = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLED)
    if pickled:
        raise Refusal(
            f"{folder} holds pickled weights ({pickled[0]}), which can run code on loading; "
            "only safetensors are read: convert them with `save_pretrained(..., safe_serialization=True)`"
        )
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if others:
        raise Refusal(
            f"{folder} holds {others[0]} and no {stem(folder)}.safetensors, which is the name that is read; "
            "rename it, or copy the missing files"
        )
    raise Refusal(
        f"{folder} holds no weights; each component of a folder in diffusers format has its safetensors"
    )


def single_files_in(folder: Path) -> list[Path]:
    """The files in a folder that could be models by themselves."""
    return sorted(file for file in folder.iterdir() if file.suffix in (".safetensors", ".sft", ".gguf"))


def stem(folder: Path) -> str:
    """What the weight files of a component are called: transformers and diffusers differ in it."""
    return "model" if folder.name.startswith("text_encoder") else "diffusion_pytorch_model"


def variant_of(folder: Path) -> str:
    """The variant, such as fp16, that a component's folder holds and no plain weights; else nothing.

    Of several variants fp16 comes first, then bf16, then the others by name.
    """
    name = stem(folder)
    if any((folder / f"{name}.safetensors{end}").exists() for end in ("", ".index.json")):
        return ""
    pattern = rf"{name}(?:\.(\w+)\.safetensors|\.safetensors\.index\.(\w+)\.json)"
    matches = [re.fullmatch(pattern, file.name) for file in folder.glob(f"{name}.*")]
    found = {match[1] or match[2] for match in matches if match}
    return min(found, key=lambda each: (each != "fp16", each != "bf16", each), default="")


def read_header(file: Path) -> dict[str, dict]:
    """The tensors that a safetensors file promises. Raises Refusal if it is truncated or is not one."""
    length = file.stat().st_size
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if not 2 <= size <= min(LARGEST_HEADER, length - 8):
            raise _damaged(file, length)
        try:
            header = json.loads(stream.read(size))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise _damaged(file, length) from error
    if length != 8 + size + end:
        raise _damaged(file, length, expected=8 + size + end)
    return tensors


def measure(folder: Path) -> Size:
    """Parameters and bytes of one component, from its headers alone."""
    parameters = total = 0
    for file in weight_files(folder):
        parameters += sum(math.prod(entry["shape"]) for entry in read_header(file).values())
        total += file.stat().st_size
    return Size(parameters, total)


def weights_hash(folder: Path, components: list[str], single: Path | None = None) -> str:
    """SHA-256 over the names and hashes of all weight files: equal weights have equal ones.

    The name of a `single` file that holds several components is a person's own and does not count.
    """
    digest = hashlib.sha256()
    if single is not None:
        status = single.stat()
        digest.update(f"file {_file_hash(single, status.st_size, status.st_mtime_ns)}\n".encode())
    for component in sorted(components):
        for file in weight_files(folder / component):
            status = file.stat()
            content = _file_hash(file, status.st_size, status.st_mtime_ns)
            digest.update(f"{component}/{file.name} {content}\n".encode())
    return digest.hexdigest()


def read_json(file: Path) -> dict:
    """A JSON object from a file. Raises Refusal when it is absent or not one."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(
            f"cannot read {file}: {error.strerror}; a model is a folder in diffusers format"
        ) from error
    except ValueError as error:
        raise Refusal(f"{file} is not JSON; copy or download the folder again, whole") from error
    if not isinstance(value, dict):
        raise Refusal(f"{file} does not hold a JSON object; copy or download the folder again, whole")
    return value


@lru_cache(maxsize=256)
def _file_hash(file: Path, size: int, modified: int) -> str:
    """SHA-256 of a file. The Hub's cache names a blob by it, so that 20 GB need not be read again."""
    blob = Path(os.path.realpath(file))
    if blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(file: Path, length: int, expected: int = 0) -> Refusal:
    promised = f", and its header promises {expected:,}" if expected else " and no readable header"
    return Refusal(
        f"{file} is truncated or not a safetensors file: it has {length:,} bytes{promised}; copy it again"
    )
