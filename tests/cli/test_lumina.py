"""Folders of both Lumina families from the command line: generate, extrapolate, verify, plan."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sd3demo.cli import main

KINDS = pytest.mark.parametrize("kind", ["lumina-next", "lumina2"])
SETTINGS = {
    "lumina-next": ["--guided-channels", "three", "--renorm", "whole"],
    "lumina2": ["--system-prompt", "a square", "--cfg-truncation", "0.5"],
}
CALLS = {"lumina-next": 4, "lumina2": 3}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and models of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = main([*words, "--json"])
    lines = capsys.readouterr().out.strip().splitlines()
    return code, json.loads(lines[-1]) if lines else {}


@KINDS
def test_a_picture_is_made_and_verified(
    checkpoint: Callable[..., Path], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = str(checkpoint(kind)), tmp_path / "a.png"
    words = ["a red circle", "--model", folder, "--negative", "blue", *SETTINGS[kind], "--steps", "2"]
    code, said = answer(capsys, "generate", *words, "--out", str(out), "--runs", "off", "--device", "cpu")
    assert (code, said["calls"], said["encoder_calls"], said["sigmas"][-1]) == (0, CALLS[kind], 2, 0)
    assert (said["request"]["width"], said["request"]["max_sequence_length"]) == (64, 64)
    code, said = answer(capsys, "verify", str(out), "--model", folder, "--device", "cpu")
    assert (code, said["weights_equal"], said["noise_equal"]) == (0, True, True)


@KINDS
def test_a_larger_picture_by_the_paper_is_made_and_verified(
    checkpoint: Callable[..., Path], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = str(checkpoint(kind)), tmp_path / "large.png"
    words = ["a red circle", "--model", folder, "--scale", "2", "--preset", "paper-lumina", "--steps", "2"]
    code, said = answer(capsys, "extrapolate", *words, "--out", str(out), "--runs", "off", "--device", "cpu")
    assert code == 0
    assert (said["request"]["positions"], said["request"]["attention"]) == ("per-frequency", "log")
    picture = said["images"]["projected"]
    code, said = answer(capsys, "verify", picture, "--model", folder, "--device", "cpu")
    assert (code, said["weights_equal"]) == (0, True)


@pytest.mark.parametrize("model", ["lumina-next", "lumina-image-2", "neta-lumina", "netayume-lumina"])
def test_a_plan_needs_no_weights(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = answer(capsys, "plan", "a cat", "--model", model, "--vram", "12")
    assert (code, said["fits"]) == (0, True)


def test_copies_of_the_text_are_one_sentence(
    checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(checkpoint("lumina-next")), "--scale", "2", "--text-copies", "auto"]
    code = main(["extrapolate", "a", *words, "--runs", "off", "--out", str(tmp_path / "a.png")])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.strip().count("\n") == 0
    assert "copies of every key cancel" in said.err
