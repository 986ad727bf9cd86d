"""Traces on the disk: safetensors files of a few small arrays, with a JSON header that says what they are.

Nothing in such a file is ever executed, its size is that of its numbers, and reading one loads no torch. A
foreign, damaged or overgrown file is refused with one sentence.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sd3demo import __version__
from sd3demo.catalogue import assets
from sd3demo.engine.record.traces import AttentionRecord, Trace
from sd3demo.errors import Refusal
from sd3demo.history.portable import portable_request
from sd3demo.history.receipts import Hash
from sd3demo.history.stored_json import check_format, parse_stored
from sd3demo.settings import Resolved, Settings, counted

KEYWORD = "sd3demo.trace"
FORMAT: Literal[1] = 1
SUFFIX = ".safetensors"
LARGEST = 16 * 2**20  # bytes of a file
SIDE = 256  # pixels of the picture, and patches of a map, at most


class TraceHeader(Settings):
    """The run that the arrays belong to, and what they are of."""

    format: Literal[1] = FORMAT
    request: Resolved
    calls: Annotated[int, Field(ge=1)]
    entries: Annotated[int, Field(ge=1)]
    noise_sha256: Hash
    weights_sha256: Hash
    version: str = __version__
    words: Annotated[tuple[tuple[str, str], ...], Field(max_length=2000)] = ()
    attention_steps: tuple[int, ...] = ()
    attention_blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class ArraySpec:
    """An array's type and its shape: a letter is a size that all arrays agree on, None any up to SIDE."""

    dtype: str
    shape: tuple[str | int | None, ...]


ARRAYS: Mapping[str, ArraySpec] = {
    "sigmas": ArraySpec("F64", ("N+1",)),
    "gram": ArraySpec("F64", ("N", "N")),
    "turns": ArraySpec("F32", ("N",)),
    "guidance": ArraySpec("F32", ("N", 4)),
    "norms": ArraySpec("F32", ("N", 2)),
    "film": ArraySpec("U8", ("N+1", 2, None, None, 3)),
    "picture": ArraySpec("U8", (None, None, 3)),
}
MAPS = ArraySpec("F16", ("S", "K", "U", None, None))


def to_file(trace: Trace) -> bytes:
    """Return the content of a trace's file."""
    seen = trace.attention
    header = TraceHeader(
        request=portable_request(trace.request),
        calls=trace.calls,
        entries=trace.entries,
        noise_sha256=trace.noise_sha256,
        weights_sha256=trace.weights_sha256,
        words=seen.words if seen else (),
        attention_steps=seen.steps if seen else (),
        attention_blocks=seen.blocks if seen else (),
    )
    arrays = {name: np.ascontiguousarray(getattr(trace, name)) for name in ARRAYS}
    if seen:
        arrays["attention"] = np.ascontiguousarray(seen.maps)
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
    return save(arrays, {KEYWORD: text})


def read_trace(path: Path) -> Trace:
    """Return the trace in a file. Raises Refusal for one that is foreign, damaged or too large."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise Refusal(f"{path} has {size / 2**20:.0f} MiB; a trace has {LARGEST // 2**20} at most")
        with safe_open(str(path), framework="numpy") as file:
            header = _header(file.metadata() or {}, path)
            kinds = _expected(header)
            shapes = {name: _shape(file, name, kind, path) for name, kind in kinds.items()}
            _check_sizes(header, kinds, shapes, path)
            arrays = {name: file.get_tensor(name) for name in kinds}
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror or error}; give a trace's file") from error
    except SafetensorError as error:
        raise Refusal(
            f"{path} is no trace or was damaged; give a file that `sd3demo trace` or the page wrote"
        ) from error
    _check_numbers(arrays, path)
    maps = arrays.pop("attention", None)
    seen = (
        AttentionRecord(header.words, header.attention_steps, header.attention_blocks, maps)
        if header.words
        else None
    )
    return Trace(
        request=header.request,
        calls=header.calls,
        entries=header.entries,
        noise_sha256=header.noise_sha256,
        weights_sha256=header.weights_sha256,
        attention=seen,
        **arrays,
    )


def shipped() -> list[Path]:
    """Return the traces that come with the package, in the order of their names."""
    return sorted((assets() / "traces").glob(f"*{SUFFIX}"))


def _header(metadata: Mapping[str, str], path: Path) -> TraceHeader:
    if KEYWORD not in metadata:
        raise Refusal(f"{path} is a safetensors file but no trace; give one that `sd3demo trace` wrote")
    try:
        values = json.loads(metadata[KEYWORD])
        if not isinstance(values, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise Refusal(f"the header of {path} is not JSON; the file was damaged or forged") from error
    what = f"the header of {path}"
    check_format(values, what, newest=FORMAT)
    request = parse_stored(Resolved, values.get("request"), what, written=values)
    return parse_stored(TraceHeader, values | {"request": request}, what)


def _expected(header: TraceHeader) -> Mapping[str, ArraySpec]:
    return {**ARRAYS, "attention": MAPS} if header.words else ARRAYS


def _shape(file: safe_open, name: str, kind: ArraySpec, path: Path) -> tuple[int, ...]:
    """Return the shape of an array, checking its type, before any of it is read."""
    found = file.get_slice(name)
    if found.get_dtype() != kind.dtype:
        raise Refusal(f"{name} in {path} is of type {found.get_dtype()}; in a trace it is {kind.dtype}")
    return tuple(found.get_shape())


def _check_sizes(
    header: TraceHeader, kinds: Mapping[str, ArraySpec], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    steps = header.request.steps
    known = {
        "N": steps,
        "N+1": steps + 1,
        "S": len(header.attention_steps),
        "K": len(header.attention_blocks),
        "U": len(header.words),
    }
    for name, kind in kinds.items():
        shape, sizes = shapes[name], [known.get(str(size), size) for size in kind.shape]
        fits = len(shape) == len(sizes) and all(
            0 < side <= SIDE if size is None else side == size
            for side, size in zip(shape, sizes, strict=False)
        )
        if not fits:
            raise Refusal(
                f"{name} in {path} has the shape {shape}, which a run of {counted(steps, 'step')} has not"
            )
    if not all(0 <= step < steps for step in header.attention_steps):
        raise Refusal(f"{path} has attention at steps that a run of {counted(steps, 'step')} has not")


def _check_numbers(arrays: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    """Raise Refusal for numbers that are not finite, but for those of guidance where it is off."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and name != "guidance" and not np.isfinite(array).all():
            raise Refusal(f"{name} in {path} is not finite; the file was damaged")
