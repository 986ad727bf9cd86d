"""LoRAs from the command line and on the page: made, told by name and hash, found again, refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sd3demo.catalogue import lora_files
from sd3demo.cli import main
from sd3demo.errors import Refusal
from sd3demo.history import read_receipt
from sd3demo.ui import Core
from sd3demo.ui.api.plan import planned
from sd3demo.ui.context import prepare
from tests.checkpoints import KINDS, pipeline
from tests.loras import factors_of, layers_of, write_lora
from tests.ui.fake_page import Rehearsal


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, models and LoRAs of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lora_files, "_OFFERED", {})


@pytest.fixture
def style(tmp_path: Path) -> Path:
    layers = layers_of(pipeline(KINDS["sd3-medium"]).transformer)
    (tmp_path / "secret").mkdir()
    return write_lora(tmp_path / "secret" / "style.safetensors", factors_of(layers))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict, str]:
    code = main([*words, "--json"])
    said = capsys.readouterr()
    lines = said.out.strip().splitlines()
    return code, json.loads(lines[-1]) if lines else {}, said.err.strip()


def test_a_picture_with_loras_is_made_and_verified(
    checkpoint: Callable[..., Path],
    style: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, cpu = tmp_path / "a.png", ["--device", "cpu"]
    other = write_lora(tmp_path / "b.safetensors", {}, more=lora_tensors(style))
    asked = ["a", "--model", str(checkpoint("sd3-medium")), "--steps", "2", "--out", str(out), *cpu]
    code, said, _ = answer(capsys, "generate", *asked, "--lora", f"{style}:0.3", "--lora", str(other))
    assert (code, said["request"]["lora"]) == (0, "style.safetensors:0.3,b.safetensors:1")
    assert len(read_receipt(out).request.lora_sha256) == 129
    assert "secret" not in out.read_bytes().decode("latin-1")
    code, said, _ = answer(capsys, "verify", str(out), *cpu)
    assert (code, said["max_abs_diff"], said["weights_equal"]) == (0, 0, True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    model = ["--model", str(checkpoint("sd3-medium"))]
    code, _, error = answer(capsys, "verify", str(out), *model, *cpu)
    assert code == 2
    assert "this was made with style.safetensors:0.3, SHA-256" in error
    files = ["--lora", str(other), "--lora", str(style)]
    code, said, _ = answer(capsys, "verify", str(out), *model, *files, *cpu)
    assert (code, said["max_abs_diff"], said["weights_equal"]) == (0, 0, True)


def lora_tensors(file: Path) -> dict:
    from safetensors.torch import load_file

    return {name: tensor * 0.5 for name, tensor in load_file(file).items()}


def test_a_page_opens_no_file_that_a_visitor_names(checkpoint: Callable[..., Path], style: Path) -> None:
    model = str(checkpoint("sd3-medium"))
    core, values = Core((model,), Rehearsal().run), {"prompt": "a", "model": model}
    for name in (str(style), "/etc/passwd", "style.safetensors:0.5"):
        with pytest.raises(Refusal, match="unknown LoRA"):
            prepare(values | {"lora": name}, core)
        with pytest.raises(Refusal, match="unknown LoRA"):
            planned(core, {**values, "lora": name}, core.budget(prepare(values, core).budget))
    lora_files.offer_lora(style)
    assert prepare(values | {"lora": "style.safetensors:0.5"}, core).request.lora == "style.safetensors:0.5"


def test_an_extrapolation_takes_loras(
    checkpoint: Callable[..., Path], style: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = tmp_path / "a.png", str(checkpoint("sd3-medium"))
    asked = ["a", "--model", model, "--scale", "2", "--steps", "2", "--device", "cpu", "--out", str(out)]
    code, said, _ = answer(capsys, "extrapolate", *asked, "--lora", f"{style}:0.3")
    assert (code, said["request"]["lora"]) == (0, "style.safetensors:0.3")
    pictures = sorted(tmp_path.glob("a-*.png"))
    assert pictures
    for picture in pictures:
        code, said, _ = answer(capsys, "verify", str(picture), "--device", "cpu")
        assert (code, said["max_abs_diff"], said["weights_equal"]) == (0, 0, True)


@pytest.mark.parametrize(
    ("name", "kind"), [("dora_scale", "DoRA"), ("hada_w1_a", "LoHa"), ("lokr_w1", "LoKr")]
)
@pytest.mark.parametrize("command", ["plan", "generate", "extrapolate", "inspect"])
def test_what_is_no_plain_lora_is_one_sentence_everywhere(
    checkpoint: Callable[..., Path],
    style: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
    command: str,
) -> None:
    more = {f"lora_unet_joint_blocks_0_x_block_attn_qkv.{name}": torch.ones(2, 2)}
    file = write_lora(tmp_path / "other.safetensors", {}, more=more | lora_tensors(style))
    if command == "inspect":
        code, said, error = answer(capsys, "inspect", str(file))
        assert kind in said["reason"] + error
        return
    code, _, error = answer(
        capsys, command, "a", "--model", str(checkpoint("sd3-medium")), "--lora", str(file)
    )
    assert code == 2
    assert f"whose weights are {kind}, which is not read here" in error
    assert len(error.splitlines()) == 1
