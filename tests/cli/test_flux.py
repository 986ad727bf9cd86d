"""A folder of FLUX.1 from the command line: generate, extrapolate, verify, plan."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sd3demo.cli import main

SIZE = ["--width", "64", "--height", "64", "--steps", "2"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and models of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("flux-dev"))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = main([*words, "--json"])
    lines = capsys.readouterr().out.strip().splitlines()
    return code, json.loads(lines[-1]) if lines else {}


def test_a_picture_is_made_and_verified(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"
    words = ["a red circle", "--model", folder, "--guidance", "2.5", "--cfg", "2", "--negative", "blue"]
    code, said = answer(
        capsys, "generate", *words, *SIZE, "--out", str(out), "--runs", "off", "--device", "cpu"
    )
    assert (code, said["calls"], said["encoder_calls"], said["sigmas"][-1]) == (0, 4, 4, 0)
    assert (said["request"]["guidance"], said["request"]["max_sequence_length"]) == (2.5, 9)
    code, said = answer(capsys, "verify", str(out), "--model", folder, "--device", "cpu")
    assert (code, said["weights_equal"], said["noise_equal"]) == (0, True, True)


def test_a_larger_picture_by_the_release_is_made_and_verified(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "large.png"
    words = ["a red circle", "--model", folder, "--scale", "2", "--preset", "release", "--steps", "2"]
    sides = ["--width", "128", "--height", "128"]
    code, said = answer(
        capsys, "extrapolate", *words, *sides, "--out", str(out), "--runs", "off", "--device", "cpu"
    )
    assert code == 0
    assert {"native", "projected"} <= said["images"].keys()
    assert (said["request"]["large_guidance"], said["request"]["copies_at"]) == (7.0, "grid")
    picture = said["images"]["projected"]
    code, said = answer(capsys, "verify", picture, "--model", folder, "--device", "cpu")
    assert (code, said["weights_equal"]) == (0, True)


@pytest.mark.parametrize("model", ["flux-dev", "flux-schnell", "flux-krea"])
def test_a_plan_needs_no_weights(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = answer(capsys, "plan", "a cat", "--model", model, "--vram", "24")
    assert (code, said["fits"], said["placement"]) == (0, True, "by-model")


def test_a_setting_of_another_family_is_one_sentence(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["generate", "a", "--model", folder, "--clip-g", "zeros", "--out", "a.png"])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.strip().count("\n") == 0
    assert "has no such setting" in said.err
