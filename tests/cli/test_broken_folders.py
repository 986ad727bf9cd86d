"""What `generate` refuses, `plan` refuses in the same words; a damaged weight ends a run without a file."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sd3demo.catalogue import find, fingerprint
from sd3demo.cli import main
from tests.cli.test_cli import PROMPT, answer, files, home, refused

__all__ = ["home"]  # a fixture

Break = Callable[[Path], object]


def config(name: str, **values: object) -> Break:
    """Change a JSON file of the folder."""

    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def removed(name: str) -> Break:
    def remove(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def swapped(*names: str) -> Break:
    """Two folders in each other's place, as often as pairs are given."""

    def swap(folder: Path) -> None:
        for first, second in zip(names[::2], names[1::2], strict=True):
            (folder / first).rename(folder / "aside")
            (folder / second).rename(folder / first)
            (folder / "aside").rename(folder / second)

    return swap


def text(name: str, content: str) -> Break:
    return lambda folder: (folder / name).write_text(content)


QUANTISED = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
WEIGHTS = "diffusion_pytorch_model.safetensors"
SD3_BROKEN: Mapping[str, tuple[Break, str]] = {
    "nf4 transformer": (
        config("transformer/config.json", quantization_config=QUANTISED),
        "transformer is quantised by bitsandbytes",
    ),
    "AWQ's T5": (
        config("text_encoder_3/config.json", quantization_config={"quant_method": "awq"}),
        "text_encoder_3 is quantised by awq, which is not read here",
    ),
    "Flux's network": (
        config("transformer/config.json", _class_name="FluxTransformer2DModel"),
        "is a FluxTransformer2DModel's where a SD3Transformer2DModel's belongs",
    ),
    "another autoencoder": (
        config("vae/config.json", _class_name="AutoencoderDC"),
        "is a AutoencoderDC's where a AutoencoderKL's belongs",
    ),
    "SDXL's autoencoder": (config("vae/config.json", latent_channels=4), "latent_channels 4"),
    "an autoencoder without blocks": (
        config("vae/config.json", block_out_channels=None),
        "sets block_out_channels to None",
    ),
    "a narrower autoencoder": (
        config("vae/config.json", block_out_channels=[8, 24, 32]),
        "vae has decoder.conv_out.weight of the shape [3, 16, 3, 3] and its config [3, 8, 3, 3]",
    ),
    "a deeper CLIP": (
        config("text_encoder/config.json", num_hidden_layers=12),
        "has 3 layers and its config 12",
    ),
    "a deeper T5": (config("text_encoder_3/config.json", num_layers=24), "has 2 layers and its config 24"),
    "more words than the weights": (
        config("text_encoder_2/config.json", vocab_size=49408),
        "its config [49408",
    ),
    "CLIPs swapped": (
        swapped("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
        "stand in each other's place",
    ),
    "CLIP and T5 swapped": (
        swapped("text_encoder", "text_encoder_3", "tokenizer", "tokenizer_3"),
        "is of the type t5 where a clip_text_model belongs",
    ),
    "tokenizers swapped": (
        swapped("tokenizer", "tokenizer_3"),
        "is a T5Tokenizer's where a CLIPTokenizer's belongs",
    ),
    "a narrower T5": (config("text_encoder_3/config.json", d_model=32), "d_model 32"),
    "a wider pooled vector": (config("text_encoder_2/config.json", projection_dim=99), "projection_dim 111"),
    "more tokens than positions": (
        config("tokenizer/tokenizer_config.json", model_max_length=77),
        "sets model_max_length to 77",
    ),
    "a limit in words": (
        config("tokenizer/tokenizer_config.json", model_max_length="many"),
        "sets model_max_length to many",
    ),
    "fewer words than the tokenizer": (config("text_encoder/config.json", vocab_size=20), "tokens and"),
    "no tokenizer": (removed("tokenizer_2"), "has neither tokenizer.json nor vocab.json"),
    "no T5 tokenizer": (removed("tokenizer_3/tokenizer.json"), "has neither tokenizer.json nor spiece"),
    "a broken tokenizer": (text("tokenizer_2/tokenizer.json", "{}"), "tokenizer.json is no tokenizer"),
    "half a tokenizer": (text("tokenizer_3/tokenizer.json", '{"model": '), "tokenizer.json is not JSON"),
    "no scheduler": (removed("scheduler"), "cannot read"),
    "no weights": (removed(f"vae/{WEIGHTS}"), "vae holds no weights"),
    "weights of another name": (
        lambda folder: (folder / "vae" / WEIGHTS).rename(folder / "vae" / "sd3_vae.safetensors"),
        "holds sd3_vae.safetensors and no diffusion_pytorch_model.safetensors",
    ),
    "an LFS pointer": (
        text(f"vae/{WEIGHTS}", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is truncated or not a safetensors file",
    ),
    "another pipeline": (config("model_index.json", _class_name="PixArtSigmaPipeline"), "is a PixArtSigma"),
    "a shallower config": (config("transformer/config.json", num_layers=2), "3 blocks and its config 2"),
    "a deeper config": (config("transformer/config.json", num_layers=5), "3 blocks and its config 5"),
    "a wider config": (config("transformer/config.json", num_attention_heads=8), "is 32 wide"),
}
FLUX_BROKEN: Mapping[str, tuple[Break, str]] = {
    "SD3's network": (
        config("transformer/config.json", _class_name="SD3Transformer2DModel"),
        "is a SD3Transformer2DModel's where a FluxTransformer2DModel's belongs",
    ),
    "text encoders swapped": (
        swapped("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
        "is of the type t5 where a clip_text_model belongs",
    ),
    "a narrower CLIP": (config("text_encoder/config.json", hidden_size=8), "hidden_size 8"),
    "a deeper config": (config("transformer/config.json", num_layers=5), "5 blocks and its config 8"),
    "no guidance": (config("transformer/config.json", guidance_embeds=False), "embeds guidance"),
}
LUMINA_BROKEN: Mapping[str, tuple[Break, str]] = {
    "Gemma of the other family": (
        lambda folder: config(
            "text_encoder/config.json",
            model_type={"gemma": "gemma2", "gemma2": "gemma"}[
                json.loads((folder / "text_encoder/config.json").read_text())["model_type"]
            ],
        )(folder),
        "is of the type gemma",
    ),
    "a narrower Gemma": (config("text_encoder/config.json", hidden_size=8), "hidden_size 8"),
    "a deeper Gemma": (config("text_encoder/config.json", num_hidden_layers=9), "layers and its config 9"),
    "more words than the weights": (config("text_encoder/config.json", vocab_size=9999), "its config [9999"),
    "fewer words than the tokenizer": (config("text_encoder/config.json", vocab_size=4), "tokens and"),
    "quantised Gemma": (
        config("text_encoder/config.json", quantization_config=QUANTISED),
        "text_encoder is quantised by bitsandbytes",
    ),
    "no tokenizer": (removed("tokenizer"), "has neither tokenizer.json nor tokenizer.model"),
}
BROKEN: Mapping[str, Mapping[str, tuple[Break, str]]] = {
    "sd3.5-medium": SD3_BROKEN,
    "flux-dev": FLUX_BROKEN,
    "lumina-next": LUMINA_BROKEN,
    "lumina2": LUMINA_BROKEN,
}
CASES = [(kind, name) for kind, cases in BROKEN.items() for name in cases]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}: {name}" for kind, name in CASES])
def test_a_plan_refuses_what_a_run_refuses_in_the_same_words(
    checkpoint: Callable[..., Path], home: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str
) -> None:
    folder = Path(shutil.copytree(checkpoint(kind), home / "model"))
    broken, words = BROKEN[kind][name]
    broken(folder)
    capsys.readouterr()  # what writing the checkpoint said
    planned = refused(capsys, "plan", "--model", str(folder))
    before = files(home)
    made = refused(capsys, "generate", PROMPT, "--model", str(folder), "--steps", "1", "--out", "a.png")
    assert words in planned
    assert made == planned
    assert files(home) == before


def as_variant(folder: Path, variant: str, *, sharded: bool) -> Path:
    """The folder with nothing but that variant's files, as diffusers writes it."""
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder)
    place = folder.with_name(f"{folder.name}-{variant}")
    pipe.save_pretrained(place, variant=variant, **({"max_shard_size": "20KB"} if sharded else {}))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("kind", ["sd3.5-medium", "flux-dev"])
def test_a_folder_of_a_variant_alone_gives_the_same_picture(
    checkpoint: Callable[..., Path], home: Path, capsys: pytest.CaptureFixture[str], kind: str, sharded: bool
) -> None:
    plain = Path(shutil.copytree(checkpoint(kind), home / "model"))
    folder = as_variant(plain, "fp16", sharded=sharded)
    assert not [file for file in folder.rglob("*.safetensors") if "fp16" not in file.name]
    assert find(str(folder)).components == {
        name: size for name, size in find(str(folder)).components.items() if size.parameters
    }
    pictures = []
    for name, model in (("a.png", plain), ("b.png", folder)):
        answer(capsys, "plan", "--model", str(model))
        answer(capsys, "generate", PROMPT, "--model", str(model), "--steps", "2", "--out", name)
        with Image.open(name) as image:
            pictures.append(np.array(image).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert len({fingerprint(find(str(each))) for each in (plain, folder)}) == 2  # other files


def damaged(folder: Path, component: str, value: float) -> None:
    file = next(iter(sorted((folder / component).glob("*.safetensors"))))
    weights = {name: tensor.clone() for name, tensor in load_file(file).items()}
    for name in weights:
        if weights[name].is_floating_point() and "position_ids" not in name:
            weights[name] = torch.full_like(weights[name], value)
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    "component", ["text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "vae"]
)
def test_weights_that_are_not_finite_end_a_run_without_a_file(
    checkpoint: Callable[..., Path],
    home: Path,
    capsys: pytest.CaptureFixture[str],
    component: str,
    value: float,
) -> None:
    folder = Path(shutil.copytree(checkpoint(), home / "model"))
    damaged(folder, component, value)
    before = files(home)
    assert main(["generate", PROMPT, "--model", str(folder), "--steps", "1", "--out", "a.png"]) == 1
    *_, sentence = capsys.readouterr().err.splitlines()
    assert "finite" in sentence
    assert files(home) == before


def test_weights_that_the_config_has_no_place_for_are_said(
    checkpoint: Callable[..., Path], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(checkpoint(), home / "model"))
    file = folder / "vae" / WEIGHTS
    save_file({**load_file(file), "decoder.extra": torch.ones(1)}, file, metadata={"format": "pt"})
    assert main(["generate", PROMPT, "--model", str(folder), "--steps", "1", "--out", "a.png"]) == 0
    assert "has no place for and that are not used: decoder.extra" in caplog.text
