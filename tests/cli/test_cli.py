"""The command line's promises: exit codes, one sentence on stderr, one JSON object on stdout, light start."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sd3demo.catalogue import CATALOGUE
from sd3demo.cli import COMMANDS, main
from sd3demo.engine import plan
from sd3demo.engine.run import sample as flowing
from sd3demo.errors import Failure
from sd3demo.settings import Request

PROMPT = "a red circle"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and models of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))  # of the processes that a test starts
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def model(checkpoint: Callable[..., Path]) -> str:
    return str(checkpoint("sd3.5-medium"))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    """The one JSON object that a command prints."""
    assert main([*words, "--json"]) == code
    (line,) = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    assert isinstance(values, dict)
    return values


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """The one sentence with which a command refuses."""
    assert main(list(words)) == code
    said = capsys.readouterr()
    assert said.out == ""
    (sentence,) = said.err.splitlines()
    assert "Traceback" not in sentence
    return sentence


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_a_sentence_for_each_flag(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert COMMANDS[command] in text
    for kind in getattr(import_module(f"sd3demo.cli.{command}").COMMAND, "settings", ()):
        for field in kind.model_fields.values():
            assert field.description
            assert field.description in text


def test_every_setting_of_a_picture_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    main(["generate", "--help"])
    text = capsys.readouterr().out
    for name in set(Request.model_fields) - {"prompt"}:
        assert f"--{name.replace('_', '-')} " in text


def test_a_picture_and_all_that_is_said_of_it(
    model: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = answer(capsys, "generate", PROMPT, "--model", model, "--steps", "3", "--out", "a.png")
    assert values["images"] == ["a.png"]
    assert (len(values["sigmas"]), values["sigmas"][-1]) == (4, 0)
    assert (values["calls"], values["encoder_calls"]) == (6, 6)
    assert all(len(values[name]) == 1 for name in ("path_length", "chord", "noise_sha256"))
    assert values["path_length"][0] >= values["chord"][0]
    assert values["request"]["max_sequence_length"] == 9
    assert None not in values["request"].values()
    assert values["seconds"] == pytest.approx(sum(values["phases"].values()))
    with Image.open("a.png") as image:
        assert image.size == (64, 64)
        assert json.loads(image.info["sd3demo"])["noise_sha256"] == values["noise_sha256"][0]
    assert (home / "data" / "sd3demo" / "runs" / values["run"] / "result.json").is_file()


@pytest.mark.parametrize("command", ["generate", "trace"])
def test_what_a_plan_remarks_is_said_before_the_run_and_in_the_json(
    command: str, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module(f"sd3demo.cli.{command}")
    monkeypatch.setattr(module, "plan", lambda *given: replace(plan(*given), notes=("CFG is off",)))
    out = "a.png" if command == "generate" else "a.safetensors"
    assert main([command, PROMPT, "--model", model, "--steps", "1", "--out", out, "--json"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == "CFG is off"
    if command == "generate":
        assert json.loads(said.out)["notes"] == ["CFG is off"]


def test_several_pictures_are_numbered(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", model, "--steps", "1", "--count", "3", "--cfg", "1")
    values = answer(capsys, "generate", PROMPT, *words, "--out", "a.png")
    assert values["images"] == ["a-1.png", "a-2.png", "a-3.png"]
    assert all(Path(image).is_file() for image in values["images"])


def test_people_are_told_where_the_picture_is(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", PROMPT, "--model", model, "--steps", "1", "--runs", "kept"]) == 0
    said = capsys.readouterr()
    assert said.out.strip().endswith("0.png")
    assert Path(said.out.strip()).is_file()
    assert "step 1 of 1" in said.err


@pytest.mark.parametrize("count", [1, 2])
def test_a_picture_is_verified_until_a_block_of_it_is_edited(
    model: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", model, "--steps", "2", "--seed", "5", "--count", str(count))
    image = answer(capsys, "generate", PROMPT, *words, "--out", "a.png")["images"][-1]
    values = answer(capsys, "verify", image)
    assert values["max_abs_diff"] <= 1 / 255
    assert values["noise_equal"]
    assert values["weights_equal"]

    with Image.open(image) as opened:
        pixels, text = np.array(opened), opened.info["sd3demo"]
    pixels[8:16, 8:16] = 255 - pixels[8:16, 8:16]
    info = PngInfo()
    info.add_text("sd3demo", text)
    Image.fromarray(pixels).save(image, pnginfo=info)
    values = answer(capsys, "verify", image, code=1)
    assert values["max_abs_diff"] > 1 / 255
    assert values["noise_equal"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "1000"], "steps is 1000; it must lie in [1, 100]"),
        (["--steps", "0"], "steps is 0; it must lie in [1, 100]"),
        (["--steps", "2.5"], "steps is 2.5; it must be a whole number in [1, 100]"),
        (["--cfg", "nan"], "cfg is nan; it must lie in [1, 30]"),
        (["--cfg", "inf"], "cfg is inf; it must lie in [1, 30]"),
        (["--cfg=-3"], "cfg is -3; it must lie in [1, 30]"),
        (["--shift", "0"], "shift is 0; it must lie in [0.1, 100] or be auto"),
        (["--count", "99"], "count is 99; it must lie in [1, 16]"),
        (["--seed=-1"], "seed is -1; it must lie in [0, 4294967295]"),
        (["--solver", "rk5"], "unknown solver 'rk5'; choose one of euler, "),
        (["--schedule", "karras"], "unknown schedule 'karras'; choose one of uniform, "),
        (["--t5", "off"], "unknown t5 'off'; choose one of on, zeros, omit, empty"),
        (["--width", "60"], "width is 60; {model} makes sides that divide by 8, up to 128 px: try 64"),
        (["--height", "1024"], "height is 1024; {model} makes sides that divide by 8, up to 128 px: try 128"),
        (["--max-sequence-length", "20"], "max_sequence_length is 20; it must lie in [1, 9]"),
        (["--cfg-from", "0.9", "--cfg-to", "0.1"], "cfg_from is 0.9 and cfg_to 0.1"),
        (["--device", "tpu"], "unknown device 'tpu'; choose one of auto, cpu, cuda"),
        (["--out", "a.jpg"], "out is a.jpg; pictures are PNG files"),
        (["--out", "no/such/a.png"], "out is no/such/a.png; it must be a file in a folder that exists"),
        (["--stepz", "3"], "No such option '--stepz'"),
        (["--steps"], "requires an argument"),
        (["more"], "unexpected extra argument"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    words: list[str], sentence: str, model: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "generate", PROMPT, "--model", model, *words)
    assert sentence.format(model=model) in said
    assert files(home) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["generate"], "Missing argument 'PROMPT'; see `sd3demo generate --help`"),
        (["generate", ""], "prompt is empty"),
        (["generate", "x" * 2001], "prompt has 2,001 characters"),
        (["generate", "a\x07"], "control character"),
        (["generate", "\udcff"], "control character"),
        (["generate", PROMPT, "--model", "sd4"], f"choose one of {', '.join(CATALOGUE)}"),
        (["generate", PROMPT, "--model", "no/folder"], "unknown model 'no/folder'"),
        (["generate", PROMPT, "--model", "."], "has no model_index.json"),
        (
            ["generate", PROMPT, "--model", "sd3.5-large"],
            "accept its licence at https://huggingface.co/stabilityai",
        ),
        (["plan", "--vram", "0"], "vram is 0; it must lie in [0.1, 10000]"),
        (["verify", "no.png"], "No such file"),
        (["verify", "."], "cannot read"),
        (["serve", "--port", "99999"], "port is 99999; it must lie in [1, 65535]"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_bad_words_are_refused(
    words: list[str], sentence: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refused(capsys, *words)
    assert files(home) == []


@pytest.mark.parametrize(
    "words",
    [
        ["generate", PROMPT, "--out", "{long}.png"],
        ["generate", PROMPT, "--out", "{deep}/a.png"],
        ["generate", PROMPT, "--model", "{long}"],
        ["extrapolate", PROMPT, "--scale", "2", "--out", "{long}.png"],
        ["extrapolate", PROMPT, "--scale", "2", "--own", "{long}.png"],
        ["trace", PROMPT, "--out", "{long}.safetensors"],
        ["grid", "--out", "{long}.png"],
        ["grid", "--again", "{long}.png"],
        ["study", "path-length", "--out", "{long}.html"],
        ["verify", "{long}.png"],
        ["plan", "--model", "{long}"],
        ["space", "check", "{long}"],
        ["space", "build", "{long}"],
    ],
    ids=" ".join,
)
def test_a_path_that_no_file_system_takes_is_refused_before_any_work(
    words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long, deep = "x" * 260, "/".join(["y" * 200] * 25)
    said = refused(capsys, *(word.format(long=long, deep=deep) for word in words))
    assert "Errno" not in said
    assert files(home) == []


@pytest.mark.parametrize("stem", ["x" * 196, "ö" * 98])
def test_a_name_of_200_bytes_leaves_room_for_what_is_added_to_it(
    stem: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", model, "--steps", "1", "--cfg", "1", "--count", "2", "--out", f"{stem}.png")
    images = answer(capsys, "generate", PROMPT, *words)["images"]
    assert all(Path(image).is_file() for image in images)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--help"], 0, "--runs-gib NUMBER"),
        (["--port", "99999"], 2, "port is 99999; it must lie in [1, 65535]"),
        (["--prot", "7860"], 2, "No such option '--prot'"),
    ],
)
def test_the_entry_of_the_space_takes_the_flags_of_serve(words: list[str], code: int, sentence: str) -> None:
    """A flag that it left unread would open the page somewhere else than was asked."""
    done = subprocess.run(
        [sys.executable, "app.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, sentence in done.stdout + done.stderr) == (code, True)
    assert "Traceback" not in done.stderr


def test_work_that_fails_says_so_with_code_1_and_leaves_nothing(
    model: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(step: object) -> None:
        raise Failure("the latent is not finite after step 1 of 2")

    monkeypatch.setattr(flowing, "check_finite", fail)
    assert main(["generate", PROMPT, "--model", model, "--out", "a.png"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "the latent is not finite after step 1 of 2"
    assert files(home) == []


def test_a_full_disk_is_refused_and_leaves_neither_picture_nor_run(
    model: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if str(target).endswith("a.png"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert main(["generate", PROMPT, "--model", model, "--steps", "1", "--out", "a.png"]) == 2
    assert "cannot write a.png: No space left on device" in capsys.readouterr().err
    assert files(home) == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_plan_is_there_for_every_model_without_its_weights(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = answer(capsys, "plan", "--model", name, "--vram", "24")
    assert {"stages", "sigmas", "calls", "flops", "memory", "placement", "seconds", "fits"} <= set(values)
    assert set(values["memory"]) == {"encode", "flow", "decode"}
    assert values["device"]["kind"] == "cuda"
    assert main(["plan", PROMPT, "--model", name]) == 0
    assert f"{name}, 1 x " in capsys.readouterr().out


def test_the_models_are_those_of_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, "models")["models"]
    assert [row["name"] for row in rows] == list(CATALOGUE)
    assert all(row["here"] or row["how_to_get"] for row in rows)
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in CATALOGUE)


@pytest.mark.parametrize("words", [["--help"], ["models"], ["plan"], ["generate", "--help"], ["--version"]])
def test_what_computes_nothing_does_not_load_torch(words: list[str]) -> None:
    code = (
        "import sys; from sd3demo.cli import main; code = main(sys.argv[1:]); "
        "print(*{'torch', 'diffusers', 'transformers', 'gradio'} & set(sys.modules), file=sys.stderr); "
        "sys.exit(code)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0
    assert done.stderr.strip() == ""


@pytest.mark.slow
def test_the_module_is_the_command(model: str, home: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-m", "sd3demo", "generate", PROMPT, "--model", model, "--steps", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == 0
    assert json.loads(done.stdout)["calls"] == 2
    assert "step 1 of 1" in done.stderr
