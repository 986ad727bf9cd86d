"""Where pictures go: a file, the history, or neither; and how the model of a picture is found again."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sd3demo.cli import main
from tests.cli.test_cli import PROMPT, answer, files, home, refused
from tests.original_layouts import write_sd3_file

__all__ = ["home"]  # a fixture


@pytest.fixture
def model(checkpoint: Callable[..., Path], home: Path) -> str:
    return str(shutil.copytree(checkpoint(), home / "secret-place" / "my-model"))


COMMANDS = {
    "generate": ["generate", PROMPT, "--steps", "1"],
    "extrapolate": ["extrapolate", PROMPT, "--steps", "1", "--large-steps", "1", "--scale", "2"],
}


@pytest.fixture(params=COMMANDS)
def words(request: pytest.FixtureRequest, model: str) -> list[str]:
    return [*COMMANDS[request.param], "--model", model]


@pytest.mark.parametrize("off", ["flag", "environment"])
def test_off_is_off(
    off: str,
    words: list[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words += ["--runs", "off"] if off == "flag" else []
    if off == "environment":
        monkeypatch.setenv("SD3DEMO_RUNS", "off")
    before = set(files(home))
    assert "the history is off and no file is named; give --out FILE.png" in refused(capsys, *words)
    values = answer(capsys, *words, "--out", "a.png")
    assert values["run"] is None
    made = {path.name for path in set(files(home)) - before}
    assert made == ({"a.png"} if words[0] == "generate" else {"a-native.png", "a-projected.png"})


def test_the_picture_is_written_though_the_history_cannot_be(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    words += ["--runs", "file/runs"]
    said = refused(capsys, *words)  # before any step: there is no other line
    assert said.startswith("cannot keep the run in file/runs: Not a directory")
    assert main([*words, "--out", "a.png", "--json"]) == 0
    said = capsys.readouterr()
    assert "the pictures are written, but not the history: cannot keep the run in file/runs" in said.err
    values = json.loads(said.out)
    assert values["run"] is None
    images = values["images"]
    for image in images if isinstance(images, list) else images.values():
        assert Image.open(image).size


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_folder_without_the_right_to_write_is_refused_before_the_work(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").mkdir(mode=0o500)
    assert "Permission denied" in refused(capsys, *words, "--runs", "runs")


def test_a_picture_of_a_folder_that_moved_is_verified_by_its_weights(
    model: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(capsys, *COMMANDS["generate"], "--model", model, "--out", "a.png")
    with Image.open("a.png") as image:
        assert "secret-place" not in image.info["sd3demo"]
    there = home / "elsewhere"
    there.mkdir()
    monkeypatch.chdir(there)
    found = answer(capsys, "verify", "../a.png")  # the folder is remembered
    assert (found["weights_equal"], found["model"], found["max_abs_diff"]) == (True, model, 0)
    moved = str(shutil.move(model, there / "renamed"))
    assert "the model 'my-model'" in refused(capsys, "verify", "../a.png")
    found = answer(capsys, "verify", "../a.png", "--model", moved)
    assert (found["weights_equal"], found["model"]) == (True, moved)
    assert "unknown model 'nowhere'" in refused(capsys, "verify", "../a.png", "--model", "nowhere")


def test_a_picture_of_a_single_file_names_the_file_alone_and_is_verified_from_another_place(
    model: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sd3_file(home / "secret-place" / "net.safetensors", Path(model))
    name = "secret-place/net.safetensors+secret-place/my-model"
    answer(capsys, *COMMANDS["generate"], "--model", name, "--out", "a.png")
    with Image.open("a.png") as image:
        receipt = json.loads(image.info["sd3demo"])
    assert receipt["request"]["model"] == "net.safetensors"
    assert "secret-place" not in json.dumps(receipt)
    there = home / "elsewhere"
    there.mkdir()
    monkeypatch.chdir(there)
    found = answer(capsys, "verify", "../a.png")
    assert (found["weights_equal"], found["max_abs_diff"]) == (True, 0)


def test_a_picture_whose_model_has_other_weights_by_now_is_verified_by_those_that_made_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tiny` is trained anew, and what was `tiny` is there under another name."""
    from dataclasses import replace

    from sd3demo import catalogue
    from sd3demo.catalogue import CATALOGUE, entries

    answer(capsys, *COMMANDS["generate"], "--out", "a.png")
    first, second = CATALOGUE["tiny"], CATALOGUE["tiny-2"]
    swapped = {"tiny": replace(second, name="tiny"), "tiny-2": replace(first, name="tiny-2")}
    monkeypatch.setattr(entries, "EMBEDDED", tuple(swapped.values()))
    for name, spec in swapped.items():
        monkeypatch.setitem(catalogue.CATALOGUE, name, spec)
    assert main(["verify", "a.png", "--json"]) == 0
    said = capsys.readouterr()
    assert "the model is tiny in the receipt and tiny-2 here" in said.err
    found = json.loads(said.out)
    assert (found["model"], found["weights_equal"], found["max_abs_diff"]) == ("tiny-2", True, 0)
