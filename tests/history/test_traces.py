"""A trace's file comes back as it was, and what is no trace is refused with one sentence."""

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from sd3demo.engine.record.traces import AttentionRecord, Trace
from sd3demo.errors import Refusal
from sd3demo.history import traces
from sd3demo.history.traces import ARRAYS, KEYWORD, read_trace, shipped, to_file
from tests.history.fake_trace import a_trace

Arrays = dict[str, np.ndarray]


def parts(trace: Trace) -> tuple[Arrays, dict[str, object]]:
    """A file's arrays and its header."""
    content = to_file(trace)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][KEYWORD])
    return load(content), header


def write(path: Path, arrays: Arrays, header: object) -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(save(arrays, {KEYWORD: text}))
    return path


@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("steps", [1, 12])
def test_a_trace_comes_back_as_it_was(attends: bool, steps: int, tmp_path: Path) -> None:
    trace = a_trace(steps=steps, attends=attends)
    path = tmp_path / "one.safetensors"
    path.write_bytes(to_file(trace))
    again = read_trace(path)
    for field in fields(Trace):
        kept, found = getattr(trace, field.name), getattr(again, field.name)
        if isinstance(kept, np.ndarray):
            np.testing.assert_array_equal(kept, found)
            assert kept.dtype == found.dtype
        elif isinstance(kept, AttentionRecord):
            assert (kept.words, kept.steps, kept.blocks) == (found.words, found.steps, found.blocks)
            np.testing.assert_array_equal(kept.maps, found.maps)
        else:
            assert kept == found
    assert to_file(again) == to_file(trace)


def test_reading_a_trace_loads_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    path.write_bytes(to_file(a_trace()))
    code = (
        "import sys; from pathlib import Path; from sd3demo.history.traces import read_trace;"
        f"print(read_trace(Path({str(path)!r})).shape.length > 0, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("cut", [0, 4, 200, -1])
def test_a_damaged_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(to_file(a_trace())[:cut])
    with pytest.raises(Refusal, match="is no trace or was damaged; give a file that"):
        read_trace(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(99), b"PK\x03\x04" + bytes(99), b"{}"])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(Refusal, match="no trace or was damaged"):
        read_trace(path)


def test_other_safetensors_are_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"weight": np.zeros(3, np.float32)}))
    with pytest.raises(Refusal, match="is a safetensors file but no trace"):
        read_trace(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"cannot read .*No such file"):
        read_trace(tmp_path / "none.safetensors")


def test_an_overgrown_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "LARGEST", 1000)
    path = tmp_path / "large.safetensors"
    path.write_bytes(to_file(a_trace()))
    with pytest.raises(Refusal, match="a trace has"):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("[1, 2]", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"format": 2}, "was written by a newer version of sd3demo: it has the format 2"),
        ({"format": None}, "has no format number"),
        ({"noise_sha256": "x"}, "cannot be migrated to .*: noise_sha256"),
        ({"surprise": 1}, "newer version of sd3demo: it has the setting 'surprise'"),
        ({"request": {}}, "cannot be read: prompt is missing; it was damaged"),
        ({"words": [["T5"]]}, "cannot be read"),
        ({"attention_steps": [99] * 8}, "has attention at steps that a run of 12 steps has not"),
        ({"attention_steps": [0]}, "attention in .* has the shape"),
    ],
)
def test_a_forged_header_is_refused(change: object, sentence: str, tmp_path: Path) -> None:
    arrays, header = parts(a_trace())
    forged = header | change if isinstance(change, dict) else change
    with pytest.raises(Refusal, match=sentence) as refusal:
        read_trace(write(tmp_path / "forged.safetensors", arrays, forged))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_does_not_fit_the_run_is_refused(name: str, tmp_path: Path) -> None:
    arrays, header = parts(a_trace())
    for wrong in (arrays[name][:0], arrays[name][None]):
        with pytest.raises(Refusal, match=f"{name} in .* has the shape"):
            read_trace(write(tmp_path / "wrong.safetensors", arrays | {name: wrong.copy()}, header))
    other = arrays[name].astype(np.float16)
    with pytest.raises(Refusal, match=f"{name} in .* is of type F16; in a trace it is"):
        read_trace(write(tmp_path / "wrong.safetensors", arrays | {name: other}, header))
    without = {key: array for key, array in arrays.items() if key != name}
    with pytest.raises(Refusal, match="damaged"):
        read_trace(write(tmp_path / "wrong.safetensors", without, header))


def test_numbers_that_are_none_are_refused_but_where_guidance_is_off(tmp_path: Path) -> None:
    arrays, header = parts(a_trace())
    off = arrays["guidance"].copy()
    off[3:, [1, 3]] = np.nan
    read_trace(write(tmp_path / "off.safetensors", arrays | {"guidance": off}, header))
    broken = arrays["gram"].copy()
    broken[0, 0] = np.nan
    with pytest.raises(Refusal, match=r"gram in .* is not finite"):
        read_trace(write(tmp_path / "nan.safetensors", arrays | {"gram": broken}, header))


def test_the_traces_that_ship_are_three_small_and_whole() -> None:
    found = shipped()
    assert len(found) == 3
    for path in found:
        assert path.stat().st_size < 400_000
        trace = read_trace(path)
        assert trace.request.model == "tiny"
        assert trace.attention is not None
        assert re.fullmatch(r"[0-9a-z-]+", path.stem)


def test_a_trace_of_a_run_without_words_has_no_attention(tmp_path: Path) -> None:
    trace = replace(a_trace(), attention=None)
    path = tmp_path / "silent.safetensors"
    path.write_bytes(to_file(trace))
    assert read_trace(path).attention is None
