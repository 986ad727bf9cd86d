"""What files and folders are named, from small ones of each kind; nothing is unpickled or looked up."""

import json
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sd3demo.catalogue.inspection import inspect_path
from sd3demo.cli import main
from tests.cli.test_cli import answer, home, refused
from tests.original_layouts import component, write_sd3_file, write_sd3_gguf

__all__ = ["home"]  # a fixture

Checkpoint = Callable[..., Path]


def tensors(*names: str, side: int = 4) -> Callable[[Path, Checkpoint], Path]:
    """A safetensors file with tensors of these names."""

    def write(folder: Path, checkpoint: Checkpoint) -> Path:
        file = folder / "a.safetensors"
        save_file({name: torch.zeros(side, side) for name in names}, file)
        return file

    return write


def content(name: str, data: bytes) -> Callable[[Path, Checkpoint], Path]:
    def write(folder: Path, checkpoint: Checkpoint) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def whole(kind: str, part: str) -> Callable[[Path, Checkpoint], Path]:
    """One component of a small checkpoint as a file."""

    def write(folder: Path, checkpoint: Checkpoint) -> Path:
        save_file(component(checkpoint(kind), part), folder / "a.safetensors")
        return folder / "a.safetensors"

    return write


def sd3_file(parts: str, *, prefix: bool = True) -> Callable[[Path, Checkpoint], Path]:
    return lambda folder, checkpoint: write_sd3_file(
        folder / "a.safetensors", checkpoint("sd3.5-medium"), parts=parts, prefix=prefix
    )


def gguf_of(architecture: str, *names: str) -> bytes:
    """A GGUF file's header by hand: no tensors' data."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    tensor = b"".join(text(name) + struct.pack("<IQQIQ", 2, 4, 4, 0, 0) for name in names)
    key = text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    return b"GGUF" + struct.pack("<IQQ", 3, len(names), 1) + key + tensor


def torn(folder: Path, checkpoint: Checkpoint) -> Path:
    file = whole("sd3.5-medium", "vae")(folder, checkpoint)
    file.write_bytes(file.read_bytes()[:-7])
    return file


def model(kind: str) -> Callable[[Path, Checkpoint], Path]:
    return lambda folder, checkpoint: checkpoint(kind)


def other_pipeline(folder: Path, checkpoint: Checkpoint) -> Path:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    return folder


def lora_folder(folder: Path, checkpoint: Checkpoint) -> Path:
    file = tensors("transformer.transformer_blocks.0.attn.to_q.lora_A.weight")(folder, checkpoint)
    file.rename(folder / "pytorch_lora_weights.safetensors")
    return folder


def picture(folder: Path, checkpoint: Checkpoint) -> Path:
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    return folder / "a.png"


class Evil:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("opened"),)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
UNET = "model.diffusion_model.input_blocks.0.0.weight"
CLIP = "text_model.embeddings.position_embedding.weight"
TABLE: Mapping[str, tuple[Callable[[Path, Checkpoint], Path], str, str, bool]] = {
    "a model of SD3": (model("sd3.5-medium"), "model", "sd3", True),
    "a model of FLUX.1": (model("flux-dev"), "model", "flux", True),
    "SDXL's folder": (other_pipeline, "model", "", False),
    "a transformer's folder": (
        lambda folder, checkpoint: checkpoint("sd3.5-medium") / "transformer",
        "component",
        "",
        False,
    ),
    "a LoRA's folder": (lora_folder, "lora", "sd3", False),
    "a folder of files": (
        lambda folder, checkpoint: tensors("a")(folder, checkpoint).parent,
        "files",
        "",
        False,
    ),
    "a repository in the Hub's cache": (
        lambda folder, checkpoint: shutil.copytree(checkpoint(), folder / "snapshots" / "abc").parents[1],
        "hub-cache",
        "",
        False,
    ),
    "an empty folder": (lambda folder, checkpoint: folder, "folder", "", False),
    "SD3 in one file": (sd3_file("all"), "checkpoint", "sd3", False),
    "SD3's transformer, original": (sd3_file("transformer"), "transformer", "sd3", False),
    "the same without a prefix": (sd3_file("transformer", prefix=False), "transformer", "sd3", False),
    "SD3's transformer, diffusers": (whole("sd3.5-large", "transformer"), "transformer", "sd3", False),
    "FLUX.1's transformer": (whole("flux-schnell", "transformer"), "transformer", "flux", False),
    "an autoencoder": (whole("sd3-medium", "vae"), "vae", "", False),
    "CLIP-L": (whole("sd3-medium", "text_encoder"), "text-encoder", "clip-l", False),
    "T5": (whole("sd3-medium", "text_encoder_3"), "text-encoder", "t5", False),
    "CLIP-G": (tensors(CLIP, side=1280), "text-encoder", "clip-g", False),
    "a LoRA of FLUX.1": (
        tensors("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"),
        "lora",
        "flux",
        False,
    ),
    "a LoRA of SDXL": (
        tensors("lora_unet_down_blocks_1_attn.lora_up.weight", "lora_te2_x.lora_down.weight"),
        "lora",
        "sdxl",
        False,
    ),
    "a ControlNet": (
        tensors("controlnet_blocks.0.weight", "transformer_blocks.0.x"),
        "controlnet",
        "",
        False,
    ),
    "SDXL in one file": (tensors("conditioner.embedders.0.x", UNET), "checkpoint", "sdxl", False),
    "SD1 in one file": (tensors("cond_stage_model.x", UNET), "checkpoint", "sd1", False),
    "a U-Net": (tensors(UNET), "unet", "sd1", False),
    "nf4": (tensors("double_blocks.0.img_attn.qkv.weight.absmax"), "quantised", "", False),
    "scaled fp8": (tensors("joint_blocks.0.x.scale_weight"), "quantised", "", False),
    "a textual inversion": (tensors("clip_l", "clip_g"), "embedding", "", False),
    "an upscaler": (tensors("conv_first.weight", "body.0.weight"), "upscaler", "", False),
    "other weights": (tensors("head.weight"), "weights", "", False),
    "a torn file": (torn, "damaged", "", False),
    "GGUF of T5": (content("a.gguf", gguf_of("t5encoder", "enc.blk.0.x")), "text-encoder", "t5", False),
    "GGUF of Llama": (content("a.gguf", gguf_of("llama", "blk.0.x")), "gguf-other", "", False),
    "a torn GGUF": (content("a.gguf", gguf_of("flux", "img_in.weight")[:-9]), "damaged", "", False),
    "an LFS pointer": (content("a.safetensors", LFS), "lfs-pointer", "", False),
    "a pickle": (content("a.ckpt", pickle.dumps(Evil())), "pickle", "", False),
    "a pickle by another name": (content("a.safetensors", pickle.dumps(Evil(), 2)), "pickle", "", False),
    "a config": (content("config.json", b"{}"), "config", "", False),
    "a picture": (picture, "picture", "", False),
    "a text": (content("a.txt", b"hello"), "unknown", "", False),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_path_is_named_for_what_it_is(
    name: str, home: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    write, kind, family, runs = TABLE[name]
    path = write(home, checkpoint)
    found = answer(capsys, "inspect", str(path))
    assert (found["kind"], found["family"], found["runs"]) == (kind, family, runs)
    assert found["reason"]
    assert set(found["fits"]) == ({"8", "12", "16", "24"} if runs else set())
    assert bool(found["command"]) == runs
    assert not (home / "opened").exists()
    if not runs:  # what cannot be run is refused with the same words
        assert refused(capsys, "plan", "--model", str(path)) == found["reason"]


def test_the_models_that_are_large_fit_where_a_plan_says(
    home: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "inspect", str(checkpoint("sd3-medium")))
    assert set(found["fits"].values()) == {"resident"}
    assert found["contents"]["vae"]["parameters"] > 0
    assert main(["inspect", str(checkpoint("sd3-medium"))]) == 0
    assert "run it: sd3demo generate" in capsys.readouterr().out


def test_nothing_at_a_path_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is nothing at nowhere" in refused(capsys, "inspect", "nowhere")


def test_a_gguf_transformer_is_known_from_its_header(home: Path, checkpoint: Checkpoint) -> None:
    pytest.importorskip("gguf")
    folder = Path(shutil.copytree(checkpoint("sd3.5-medium"), home / "model"))
    found = inspect_path(str(write_sd3_gguf(home / "a.gguf", folder, quantised=True)))
    assert (found.kind, found.family) == ("gguf", "sd3")
    assert found.file is not None
    assert set(found.file.dtypes) == {"Q8_0", "F32"}
    assert found.file.network is not None
    assert found.file.network.shape.depth == 3
    assert inspect_path(f"{home / 'a.gguf'}+{folder}").spec is not None


def test_inspecting_loads_nothing_heavy(home: Path, checkpoint: Checkpoint) -> None:
    code = (
        "import sys; from sd3demo.cli import main; assert main(['inspect', sys.argv[1]]) == 0; "
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    path = str(checkpoint("sd3.5-medium"))
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
