"""What a LoRA file is, and one sentence for one that cannot be put on a model; the plan says it already."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sd3demo.catalogue import find
from sd3demo.catalogue.inspection import inspect_path
from sd3demo.catalogue.lora_files import AskedLora, asked_loras, read_lora
from sd3demo.engine import Budget, plan
from sd3demo.errors import Refusal
from sd3demo.settings import Request, identity, parse
from tests.loras import factors_of, write_lora

QUERY = "transformer_blocks.0.attn.to_q"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"


def planned(model: str, lora: str) -> Request:
    return plan(parse(Request, {"prompt": "a", "model": model, "lora": lora}), find(model), Budget()).request


def lora(folder: Path, layers: dict[str, tuple[int, int]], **more: object) -> Path:
    return write_lora(folder / "style.safetensors", factors_of(layers), **more)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("a.safetensors", [AskedLora("a.safetensors", 1.0)]),
        (
            "a.safetensors:0.5, b.safetensors:-1",
            [AskedLora("a.safetensors", 0.5), AskedLora("b.safetensors", -1)],
        ),
        ("C:\\loras\\a.safetensors", [AskedLora("C:\\loras\\a.safetensors", 1.0)]),
        ("", []),
    ],
)
def test_files_are_asked_for_with_their_weights(text: str, asked: list[AskedLora]) -> None:
    assert list(asked_loras(text)) == asked


@pytest.mark.parametrize("text", ["a:heavy", "a:nan", "a:1000", ":1"])
def test_a_weight_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="lora has the weight"):
        parse(Request, {"prompt": "a", "lora": text})


def test_a_request_without_a_lora_has_the_identity_that_it_had() -> None:
    assert identity(Request(prompt="a")) == identity(Request(prompt="a", lora=""))


def test_a_plan_tells_its_name_hash_and_weight_and_no_path(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    file = lora(tmp_path, {QUERY: (32, 32)})
    request = planned(str(checkpoint("sd3-medium")), f"{file}:0.25")
    assert (request.lora, request.lora_sha256) == ("style.safetensors:0.25", read_lora(file).sha256)


def test_inspect_names_family_rank_and_layers(tmp_path: Path) -> None:
    layers = {f"single_transformer_blocks.{n}.attn.to_q": (3072, 3072) for n in range(2)}
    file = lora(tmp_path, {**layers, "transformer_blocks.0.ff.net.2": (3072, 12288)})
    found = inspect_path(str(file))
    assert (found.kind, found.family) == ("lora", "flux")
    assert (
        "a LoRA for FLUX.1, rank 4, which changes 3 layers (2 of attention, 1 of feed-forward)"
        in found.reason
    )


def broken(number: float) -> dict[str, Tensor]:
    return {
        f"transformer.{QUERY}.lora_A.weight": torch.full((2, 32), number),
        f"transformer.{QUERY}.lora_B.weight": torch.ones(32, 2),
    }


BAD: dict[str, tuple[dict[str, Tensor], str]] = {
    "another family": (
        {
            "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(2, 32),
            "transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight": torch.ones(32, 2),
        },
        "is for FLUX.1",
    ),
    "other shapes": (
        {
            f"transformer.{QUERY}.lora_A.weight": torch.ones(2, 64),
            f"transformer.{QUERY}.lora_B.weight": torch.ones(64, 2),
        },
        "makes transformer_blocks.0.attn.to_q 64 x 64; it is 32 x 32",
    ),
    "another depth": (
        {
            "transformer.transformer_blocks.30.attn.to_q.lora_A.weight": torch.ones(2, 32),
            "transformer.transformer_blocks.30.attn.to_q.lora_B.weight": torch.ones(32, 2),
        },
        "has no such layer",
    ),
    "half": ({f"transformer.{QUERY}.lora_A.weight": torch.ones(2, 32)}, "lacks its other half"),
    "infinite": (broken(float("inf")), "infinite number"),
    "no number": (broken(float("nan")), "infinite number"),
    "infinite, in half": ({k: v.half() for k, v in broken(float("inf")).items()}, "infinite number"),
    "infinite, in bfloat16": ({k: v.bfloat16() for k, v in broken(float("inf")).items()}, "infinite number"),
    "DoRA": (broken(1) | {f"transformer.{QUERY}.dora_scale": torch.ones(32)}, "DoRA"),
    "LoKr": ({"lora_unet_x.lokr_w1": torch.ones(2, 2)}, "LoKr"),
    "U-Net": (
        {
            "lora_unet_down_blocks_0_attn.lora_down.weight": torch.ones(2, 32),
            "lora_unet_down_blocks_0_attn.lora_up.weight": torch.ones(32, 2),
        },
        "U-Net",
    ),
    "a text encoder of other shapes": (
        {
            f"text_encoder.{TEXT}.lora_A.weight": torch.ones(2, 64),
            f"text_encoder.{TEXT}.lora_B.weight": torch.ones(64, 2),
        },
        "s CLIP-L: it is for another model",
    ),
    "a text encoder of another depth": (
        {
            "lora_te3_encoder_block_30_layer_0_SelfAttention_q.lora_down.weight": torch.ones(2, 48),
            "lora_te3_encoder_block_30_layer_0_SelfAttention_q.lora_up.weight": torch.ones(48, 2),
        },
        "s T5 has no such layer",
    ),
    "a text encoder of another family": (
        {
            "lora_te_layers_0_self_attn_q_proj.lora_down.weight": torch.ones(2, 24),
            "lora_te_layers_0_self_attn_q_proj.lora_up.weight": torch.ones(24, 2),
        },
        "is for Lumina-Image 2.0",
    ),
    "a layer of a text encoder that is unknown": (
        {
            "lora_te1_text_model_final.lora_down.weight": torch.ones(2, 16),
            "lora_te1_text_model_final.lora_up.weight": torch.ones(16, 2),
        },
        "lora_te1_text_model_final, a layer that is not known here",
    ),
    "half of a text encoder": ({"lora_te1_a.lora_down.weight": torch.ones(2, 2)}, "lacks its other half"),
    "no LoRA": ({"a.weight": torch.ones(2, 2)}, "which is no LoRA"),
    "no product": (
        {
            f"transformer.{QUERY}.lora_A.weight": torch.ones(2, 32),
            f"transformer.{QUERY}.lora_B.weight": torch.ones(32, 3),
        },
        "no product",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_by_the_plan(
    checkpoint: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    tensors, words = BAD[name]
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / "bad.safetensors")
    with pytest.raises(Refusal) as refusal:
        planned(str(checkpoint("sd3-medium")), str(tmp_path / "bad.safetensors"))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_absent_cut_off_or_pickled_is_refused(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    model, file = str(checkpoint("sd3-medium")), lora(tmp_path, {QUERY: (32, 32)})
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-9])
    (tmp_path / "a.pt").write_bytes(b"pickle")
    for name, words in (
        ("none", "is no file"),
        ("cut.safetensors", "truncated"),
        ("a.pt", "only safetensors"),
    ):
        with pytest.raises(Refusal, match=words):
            planned(model, str(tmp_path / name))


def test_lumina_next_takes_none(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="takes no LoRA"):
        planned(str(checkpoint("lumina-next")), str(lora(tmp_path, {QUERY: (32, 32)})))
