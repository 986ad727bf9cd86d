"""`sd3demo trace`: a run in a file that the page opens, the same as the run of `generate`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sd3demo.cli import main
from sd3demo.history.traces import read_trace

RUN = ("a red circle", "--steps", "3", "--max-sequence-length", "9", "--seed", "5")


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("sd3.5-medium"))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    values: dict = json.loads(line)
    return values


def test_a_trace_is_the_run_that_generate_makes(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ("--runs", str(tmp_path / "runs"))
    made = answer(capsys, "generate", *RUN, "--model", model, *runs)
    kept = answer(capsys, "trace", *RUN, "--model", model, "--out", str(tmp_path / "one.safetensors"))
    (file,) = map(Path, kept["traces"])
    trace = read_trace(file)
    assert kept["bytes"] == [file.stat().st_size]
    assert kept["sigmas"] == made["sigmas"] == trace.sigmas.tolist()
    assert kept["calls"] == made["calls"] == trace.calls
    assert kept["path_length"] == pytest.approx(made["path_length"], rel=1e-5)
    assert kept["chord"] == pytest.approx(made["chord"], rel=1e-5)
    assert [trace.noise_sha256] == made["noise_sha256"]
    assert trace.request.model_dump(mode="json") == made["request"] | {"model": Path(model).name}
    assert trace.attention is not None


def test_several_pictures_are_several_traces_each_of_its_own_seed(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "many.safetensors"
    kept = answer(capsys, "trace", *RUN, "--model", model, "--count", "2", "--out", str(out))
    names = [tmp_path / f"many-{number}.safetensors" for number in (1, 2)]
    assert kept["traces"] == [str(name) for name in names]
    first, second = map(read_trace, names)
    assert (first.request.seed, second.request.seed) == (5, 6)
    assert first.request.count == second.request.count == 1
    alone = tmp_path / "alone.safetensors"
    again = [*RUN[:-1], "6"]
    answer(capsys, "trace", *again, "--model", model, "--out", str(alone))
    np.testing.assert_allclose(read_trace(alone).gram, second.gram, rtol=1e-3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "trace.png"), "a trace is a safetensors file, so give a name that ends in .safetensors"),
        (("--out", "nowhere/trace.safetensors"), "it must be a file in a folder that exists"),
        ((), "out is missing; give one"),
        (("--out", "t.safetensors", "--steps", "0"), "steps is 0; it must lie in [1, 100]"),
        (("--out", "t.safetensors", "--model", "none"), "none"),
    ],
)
def test_bad_input_is_refused_with_one_sentence_and_nothing_is_left(
    words: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trace", "a red circle", *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []
