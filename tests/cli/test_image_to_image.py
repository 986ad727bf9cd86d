"""Image to image from the command line: made, kept without a path, verified with the picture or without."""

import json
from pathlib import Path

import pytest

from sd3demo.cli import main
from sd3demo.history import read_receipt
from tests.pictures import draw_init, draw_mask


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and models of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict, str]:
    code = main([*words, "--json", "--device", "cpu"])
    said = capsys.readouterr()
    lines = said.out.strip().splitlines()
    return code, json.loads(lines[-1]) if lines else {}, said.err.strip()


def test_a_picture_is_repainted_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init, mask, out = draw_init(tmp_path), draw_mask(tmp_path), tmp_path / "out.png"
    files = ["--init", str(init), "--mask", str(mask)]
    words = ["a blue circle", *files, "--strength", "0.8", "--steps", "2"]
    code, said, _ = answer(capsys, "generate", *words, "--out", str(out))
    assert (code, said["sigmas"][0]) == (0, 0.8)
    assert str(tmp_path) not in out.read_bytes().decode("latin-1")
    request = read_receipt(out).request
    assert (request.init, request.mask, len(request.init_sha256), len(request.mask_sha256)) == (
        "",
        "",
        64,
        64,
    )
    code, said, _ = answer(capsys, "verify", str(out))  # out of the history
    assert (code, said["max_abs_diff"]) == (0, 0)
    code, said, _ = answer(capsys, "verify", str(out), *files)
    assert (code, said["max_abs_diff"]) == (0, 0)


def test_verify_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init, out = draw_init(tmp_path), tmp_path / "out.png"
    words = ["a blue circle", "--init", str(init), "--steps", "2", "--runs", "off"]
    answer(capsys, "generate", *words, "--out", str(out))
    code, _, said = answer(capsys, "verify", str(out))
    assert code == 2
    assert "give it with --init" in said


def test_plan_takes_the_strength_of_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a", "--init", str(draw_init(tmp_path)), "--strength", "0.5"]
    code, said, _ = answer(capsys, "plan", *words)
    assert (code, said["sigmas"][0], said["request"]["image_strength"]) == (0, 0.5, 0.5)
    code, _, error = answer(capsys, "plan", "a", "--mask", "a.png")
    assert code == 2
    assert "mask is given without init" in error
