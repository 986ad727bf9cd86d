"""LoRA files (Hu et al., 2021): what they change, how they are asked for, and which are on offer. No torch.

A LoRA adds weight (alpha / rank) up down to the weight of a layer. Files of diffusers, PEFT, kohya and
ComfyUI are read; `lora_names` says which layers they mean.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sd3demo.catalogue.lora_names import PREFIXES, Target, targets_of
from sd3demo.catalogue.lora_text_names import OF_UNETS, text_family, text_layer
from sd3demo.catalogue.spec import FAMILY_TITLES
from sd3demo.catalogue.weight_files import read_header
from sd3demo.errors import Refusal

HEAVIEST = 100.0
"""The most that a weight may be, either way."""
LARGEST = 8 * 2**30  # bytes of a file

SUFFIXES: Mapping[str, str] = {
    ".lora_A.weight": "down",
    ".lora_A.default.weight": "down",
    ".lora_down.weight": "down",
    ".lora.down.weight": "down",
    ".lora_linear_layer.down.weight": "down",
    ".lora_B.weight": "up",
    ".lora_B.default.weight": "up",
    ".lora_up.weight": "up",
    ".lora.up.weight": "up",
    ".lora_linear_layer.up.weight": "up",
    ".alpha": "alpha",
}
OTHER_KINDS: Mapping[str, str] = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    ".hada_w": "LoHa",
    ".lokr_w": "LoKr",
    ".lora_mid.": "LoCon",
    "lora_B.bias": "LoRA with biases",
    "lora_B.default.bias": "LoRA with biases",
    ".oft_": "OFT",
}
"""Adapters that are more than a product on a weight, by a part of their names."""
DIFFERENCES = (".diff", ".diff_b")


@dataclass(frozen=True)
class LoraLayer:
    """One product of a file: the names of its factors in it, its rank, and the layers that it changes."""

    down: str
    up: str
    alpha: str
    """Empty where the file has none; the product then counts as it is."""
    rank: int
    inputs: int
    targets: tuple[Target, ...]
    encoder: str = ""
    """What its name begins with in `lora_text_names` if it is of a text encoder; empty for the network's."""


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file. `family` is empty where its layers are those of several families."""

    path: str
    sha256: str
    family: str
    layers: tuple[LoraLayer, ...]

    @property
    def what(self) -> str:
        """What it is, in a few words: family, ranks, layers."""
        ranks = sorted({layer.rank for layer in self.layers})
        rank = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
        of = title_of(self.family)
        kinds = Counter(
            "text encoders" if layer.encoder else _kind(target.module)
            for layer in self.layers
            for target in layer.targets
        )
        touched = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
        return f"a LoRA for {of}, {rank}, which changes {sum(kinds.values())} layers ({touched})"


def title_of(family: str) -> str:
    """What the family of a LoRA is called; one of no family's own layers fits two."""
    if not family:
        return "SD3 or FLUX.1"
    return next((title for name, title in FAMILY_TITLES.items() if name == family), family)


def read_lora(file: Path) -> LoraFile:
    """What a LoRA file holds, every number of it looked at. Raises Refusal with what is wrong with it."""
    try:
        status = file.stat()
        return _read(str(file), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise Refusal(
            f"lora is {file}, which cannot be read: {error.strerror}; give a LoRA's file"
        ) from error


@lru_cache(maxsize=16)
def _read(path: str, size: int, modified: int) -> LoraFile:
    file = Path(path)
    if file.suffix != ".safetensors":
        raise Refusal(f"lora is {file}; only safetensors are read, since other files can run code on loading")
    if size > LARGEST:
        raise Refusal(f"lora is {file}, of {size / 2**30:.0f} GiB; no LoRA is so large: give a LoRA's file")
    header = read_header(file)
    _check_kind(file, header)
    factors: dict[str, dict[str, str]] = {}
    for name in header:
        ending = next((end for end in SUFFIXES if name.endswith(end)), None)
        if ending is None:
            raise Refusal(f"lora is {file}, which holds {name}, and no LoRA that is known here has that")
        factors.setdefault(name.removesuffix(ending), {})[SUFFIXES[ending]] = name
    families: set[str] = set()
    layers = []
    for base, parts in factors.items():
        layers.append(_layer(file, base, parts, header, families))
    if len(families - {""}) > 1:
        raise Refusal(f"lora is {file}, whose layers are of {' and '.join(sorted(families - {''}))} at once")
    _check_finite(file, header)
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    family = next(iter(families - {""}), "")
    return LoraFile(path, sha256, family, tuple(layers))


def _check_kind(file: Path, header: Mapping[str, dict]) -> None:
    for part, kind in OTHER_KINDS.items():
        if any(part in name for name in header):
            raise Refusal(
                f"lora is {file}, whose weights are {kind}, which is not read here; give a plain LoRA, or "
                "fuse it into a model first"
            )
    if any(name.endswith(DIFFERENCES) for name in header):
        raise Refusal(f"lora is {file}, which holds whole differences of weights; give a plain LoRA")
    if not any("lora" in name for name in header):
        raise Refusal(f"lora is {file}, which is no LoRA; `sd3demo inspect` says what a file is")


def _layer(
    file: Path, base: str, parts: Mapping[str, str], header: Mapping[str, dict], families: set[str]
) -> LoraLayer:
    for part, other in (("down", "up"), ("up", "down")):
        if part not in parts:
            there = parts.get(other, parts.get("alpha", base))
            raise Refusal(f"lora is {file}, which has {there} and lacks its other half; copy it again, whole")
    down, up = (header[parts[part]]["shape"] for part in ("down", "up"))
    if len(down) == 4 and len(up) == 4 and down[2:] == up[2:] == [1, 1]:
        down, up = down[:2], up[:2]
    if len(down) != 2 or len(up) != 2 or down[0] != up[1] or not all((*down, *up)):
        raise Refusal(f"lora is {file}, where {parts['down']} is {down} and {parts['up']} {up}, no product")
    encoder, name, family, targets = _meant(base, up[0], down[1])
    families.add(family)
    if family == "unet":
        raise Refusal(
            f"lora is {file}, which is for a U-Net of Stable Diffusion 1, 2 or XL; give one for SD3 or FLUX.1"
        )
    if not targets:
        raise Refusal(f"lora is {file}, which changes {name}, a layer that is not known here")
    alpha = parts.get("alpha", "")
    return LoraLayer(parts["down"], parts["up"], alpha, down[0], down[1], targets, encoder)


def _meant(base: str, outputs: int, inputs: int) -> tuple[str, str, str, tuple[Target, ...]]:
    """What a name begins with if it is of a text encoder, its rest, its family, and the layers it means."""
    if base.startswith(OF_UNETS):
        return "", base, "unet", ()
    of_text = text_layer(base.removeprefix("base_model.model."))
    if of_text is None:
        name = _bare(base)
        return "", name, *targets_of(name, outputs, inputs)
    encoder, module = of_text
    targets = (Target(module, ((0, outputs),)),) if module else ()
    return encoder, base, text_family(encoder, module), targets


def _bare(name: str) -> str:
    """The name of a layer without what stands before the network's own names."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


_EXPONENTS: Mapping[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0000000000000),
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
"""By the name of a type: its bits as a whole number, and those of the exponent, all set where it is no
number."""


def _check_finite(file: Path, header: Mapping[str, dict]) -> None:
    """Raises Refusal for an infinite weight, and for one of a type that LoRAs do not have."""
    with file.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
        for name, entry in header.items():
            if name.endswith(".alpha") and str(entry["dtype"]).startswith(("I", "U")):
                continue  # a whole number
            if str(entry["dtype"]) not in _EXPONENTS:
                raise Refusal(f"lora is {file}, where {name} is {entry['dtype']}; give it in 16 or 32 bits")
            kind, exponent = _EXPONENTS[str(entry["dtype"])]
            first, last = entry["data_offsets"]
            stream.seek(start + first)
            bits = np.frombuffer(stream.read(last - first), kind)
            if len(bits) != math.prod(entry["shape"]):
                raise Refusal(f"lora is {file}, where {name} has not the size of its shape; copy it again")
            mask = bits.dtype.type(exponent)
            if bool(((bits & mask) == mask).any()):
                raise Refusal(f"lora is {file}, where {name} has an infinite number; the file is damaged")


def _kind(module: str) -> str:
    """What sort of layer it is: attention, feed-forward, modulation, or another."""
    if ".attn" in module:
        return "attention"
    if ".ff" in module or "feed_forward" in module or "proj_mlp" in module:
        return "feed-forward"
    return "modulation" if "norm" in module else "other kinds"


@dataclass(frozen=True)
class AskedLora:
    """A file or a name on offer, and the weight that it is asked for with."""

    name: str
    weight: float

    @property
    def short(self) -> str:
        """`NAME:WEIGHT` without a path."""
        weight = f"{self.weight:g}" if float(f"{self.weight:g}") == self.weight else repr(self.weight)
        return f"{self.name.replace(chr(92), '/').rsplit('/', 1)[-1]}:{weight}"


def asked_loras(text: str) -> tuple[AskedLora, ...]:
    """What `FILE[:WEIGHT],FILE[:WEIGHT]` asks for. Raises ValueError for a weight that cannot be."""
    return tuple(_asked(part.strip()) for part in text.split(",") if part.strip())


def _asked(text: str) -> AskedLora:
    name, colon, number = text.rpartition(":")
    if not colon or "/" in number or "\\" in number or number.endswith(".safetensors"):
        return AskedLora(text, 1.0)
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not name or not abs(weight) <= HEAVIEST:
        raise ValueError(
            f"has the weight {number!r} for {name or text!r}; it must lie in [{-HEAVIEST:g}, {HEAVIEST:g}]"
        )
    return AskedLora(name, weight)


def offer_lora(file: Path) -> str:
    """Give a LoRA's file a name for this process, and return it. Raises Refusal for a file that is none."""
    path = file.expanduser().absolute()
    read_lora(path)
    if _OFFERED.get(path.name, path) != path:
        raise Refusal(f"two LoRAs are called {path.name}; rename one of them")
    _OFFERED[path.name] = path
    return path.name


def offered_lora(name: str) -> Path | None:
    """The file of a name that `offer_lora` gave; None where it gave no such name."""
    return _OFFERED.get(name)


def offered_loras() -> tuple[str, ...]:
    """The names that `offer_lora` gave."""
    return tuple(_OFFERED)


def offered_files() -> Iterator[Path]:
    """Their files."""
    yield from _OFFERED.values()


_OFFERED: dict[str, Path] = {}
