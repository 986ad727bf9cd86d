"""What a command did, by the command line alone: its JSON, and the pixels and receipts of its files."""

import contextlib
import hashlib
import io
import json
import platform
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sd3demo.cli import main

HERE = Path(__file__).parent
THREADS = 1
"""Sums are split among threads, and another split may round otherwise; `make test` has one thread too."""

Pixels = NDArray[np.uint8]
Values = dict[str, Any]


def words_of(text: str, out: Path) -> list[str]:
    """The words of a command line; everything works on the CPU, whatever else the machine has."""
    return [word.format(here=HERE, out=out) for word in shlex.split(text)] + ["--device", "cpu", "--json"]


def answer(words: list[str]) -> tuple[int, Values]:
    """The exit code of a command, and its JSON."""
    spoken, progress = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(spoken), contextlib.redirect_stderr(progress):
        code = main(words)
    lines = spoken.getvalue().splitlines()
    assert lines, f"{shlex.join(words)} said nothing but: {progress.getvalue()}"
    return code, json.loads(lines[-1])


@contextlib.contextmanager
def threads(count: int = THREADS) -> Iterator[None]:
    """So many threads of torch, and afterwards as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(text: str, out: Path) -> tuple[Values, dict[str, Pixels], dict[str, Path]]:
    """What `generate` or `extrapolate` did: to be recorded, and its pictures and files by name."""
    code, said = answer([*words_of(text, out), "--runs", str(out)])
    assert code == 0, said
    files = _files(said["images"])
    pictures = {name: pixels_of(file) for name, file in files.items()}
    receipts = {name: receipt_of(file) for name, file in files.items()}
    outcome = {
        "sigmas": said["sigmas"],
        "calls": said["calls"],
        "encoder_calls": said["encoder_calls"],
        "weights_sha256": said["weights_sha256"],
        "noise_sha256": said["noise_sha256"],
        "path_length": [_rounded(length) for length in said["path_length"]],
        "chord": [_rounded(length) for length in said["chord"]],
        "request": said["request"],
        "pictures": {
            name: {
                "sha256": digest(pixels),
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "sigmas": receipts[name]["sigmas"],
                "noise_sha256": receipts[name]["noise_sha256"],
                "receipt": dict.fromkeys(receipts[name], True),
            }
            for name, pixels in pictures.items()
        },
    }
    return outcome, pictures, files


def receipt_of(file: Path) -> Values:
    """What a picture says of its making."""
    with Image.open(file) as image:
        receipt: Values = json.loads(image.text["sd3demo"])  # type: ignore[attr-defined]
    return receipt


def cells_of(file: Path) -> list[Pixels]:
    """The pictures of a grid's sheet, row by row, without what is written around them."""
    with Image.open(file) as image:
        sheet = json.loads(image.text["sd3demo-grid"])  # type: ignore[attr-defined]
        pixels = np.array(image.convert("RGB"))
    scale, cells = sheet["scale"], []
    for place, (left, top) in zip(sheet["places"], sheet["corners"], strict=True):
        request = sheet["pictures"][place]["request"]
        right, bottom = left + request["width"] * scale, top + request["height"] * scale
        cells.append(pixels[top:bottom:scale, left:right:scale])
    return cells


def arrays_of(file: Path) -> dict[str, NDArray[Any]]:
    """The numbers of a trace."""
    from safetensors.numpy import load_file

    return load_file(file)


def pixels_of(file: Path) -> Pixels:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def planned(text: str) -> Values:
    """What `plan` says that does not hang on a machine or on an estimate; of the rest, the names."""
    code, said = answer(words_of(text, HERE))
    assert code == 0, said
    stages = [{name: stage[name] for name in STAGE} for stage in said["stages"]]
    found = {name: said[name] for name in ("sigmas", "calls", "encoder_calls", "request")}
    return {"stages": stages, **found, "says": dict.fromkeys(said, True)}


STAGE = ("kind", "width", "height", "sigmas", "calls", "solver")


def digest(array: NDArray[Any]) -> str:
    """Of a picture's pixels, or of a trace's numbers, in the order of rows."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def sample(pixels: Pixels) -> Pixels:
    """What is kept of a picture beside its hash: of a large one every second pixel of every second row."""
    return pixels if max(pixels.shape) <= 64 else pixels[::2, ::2]


def difference(found: Pixels, kept: Pixels) -> int:
    """The largest difference of two pictures, in 255ths."""
    assert found.shape == kept.shape
    return int(np.abs(found.astype(int) - kept.astype(int)).max())


def missing(old: object, new: object, where: str = "") -> list[str]:
    """What the old values say and the new ones do not; that the new ones say more is no fault."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        gone = [f"{where}.{name} is gone" for name in old if name not in new]
        both = [name for name in old if name in new]
        return gone + [fault for name in both for fault in missing(old[name], new[name], f"{where}.{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [fault for k, (a, b) in pairs for fault in missing(a, b, f"{where}[{k}]")]
    return [] if old == new else [f"{where} was {old!r} and is {new!r}"]


def machine() -> dict[str, str]:
    """What decides the last bit of a sum: where one of these differs, pictures may differ a little."""
    import torch

    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = dict(
        re.findall(r"^(vendor_id|cpu family|model|model name|flags)\s*:\s*(.*)$", text, re.MULTILINE)
    )
    flags = " ".join(sorted(found.pop("flags", "").split()))
    return {
        **found,
        "flags_sha256": hashlib.sha256(flags.encode()).hexdigest(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "architecture": platform.machine(),
        "torch": torch.__version__,
    }


def _files(images: list[str] | Mapping[str, str | list[str]]) -> dict[str, Path]:
    """The files of a run by the number of the picture, by its method, or by both."""
    if isinstance(images, list):
        return {str(place): Path(file) for place, file in enumerate(images)}
    found: dict[str, Path] = {}
    for method, files in images.items():
        several = [files] if isinstance(files, str) else files
        for place, file in enumerate(several):
            found[method if len(several) == 1 else f"{method}-{place}"] = Path(file)
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
