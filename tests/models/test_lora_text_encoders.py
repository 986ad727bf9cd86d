"""LoRAs that change text encoders: applied as diffusers applies them, in every naming, and told apart."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sd3demo.catalogue import find, fingerprint
from sd3demo.catalogue.inspection import inspect_path
from sd3demo.engine import Budget, Engine, plan
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from tests.checkpoints import KINDS, write_checkpoint
from tests.engine.runs import Ran, run
from tests.loras import factors_of, layers_of, write_lora
from tests.models.test_lora_loading import PIPELINES, network_of
from tests.parity.test_flux_pipeline import reference as flux_reference
from tests.parity.test_pipeline import asked, reference

CLIP = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
T5 = ("SelfAttention.q", "SelfAttention.o", "DenseReluDense.wi_0", "DenseReluDense.wo")
NUMBERS = {
    "sd3-medium": {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_", "text_encoder_3": "lora_te3_"},
    "flux-dev": {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te3_"},
    "lumina2": {"text_encoder": "lora_te_"},
}
"""kohya's prefixes of the text encoders of each kind."""


def changed_layers(folder: Path, component: str) -> dict[str, tuple[int, int]]:
    """The layers of a text encoder that a LoRA of these tests changes, by the weights' names in its file."""
    ends = tuple(f"{end}.weight" for end in (*CLIP, *T5, "mlp.fc1", "mlp.up_proj"))
    (file,) = (folder / component).glob("*.safetensors")
    return {
        name.removesuffix(".weight"): (weight.shape[0], weight.shape[1])
        for name, weight in load_file(file).items()
        if name.endswith(ends)
    }


def text_lora(file: Path, folder: Path, naming: str, kind: str, *, only: tuple[str, ...] = ()) -> Path:
    """A LoRA on all text encoders of a folder; in kohya's naming with alpha."""
    tensors: dict[str, Tensor] = {}
    for seed, component in enumerate(only or NUMBERS[kind]):
        for name, (down, up) in factors_of(changed_layers(folder, component), seed=seed + 7).items():
            down, up = down.contiguous(), 2 * up
            if naming == "kohya":
                base = NUMBERS[kind][component] + with_text_model(name).replace(".", "_")
                tensors |= {f"{base}.lora_down.weight": down, f"{base}.lora_up.weight": up}
                tensors[f"{base}.alpha"] = torch.tensor(4.0)
            elif naming == "old diffusers":
                base = f"{component}.{with_text_model(name)}.lora_linear_layer"
                tensors |= {f"{base}.down.weight": down, f"{base}.up.weight": up}
            else:
                base = f"{component}.{name}"
                tensors |= {f"{base}.lora_A.weight": down, f"{base}.lora_B.weight": up}
    save_file(tensors, file)
    return file


def with_text_model(name: str) -> str:
    """CLIP's names as trainers write them."""
    return f"text_model.{name}" if name.startswith("encoder.layers") else name


def merged(folder: Path, copy: Path, kind: str, weight: float) -> Path:
    """The folder with the products of `text_lora` added to its files."""
    shutil.copytree(folder, copy)
    for seed, component in enumerate(NUMBERS[kind]):
        (file,) = (copy / component).glob("*.safetensors")
        weights = load_file(file)
        for name, (down, up) in factors_of(changed_layers(folder, component), seed=seed + 7).items():
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + weight * 2 * up @ down
        save_file(weights, file, metadata={"format": "pt"})
    return copy


def small(folder: Path, **settings: object) -> Ran:
    return run(asked(folder, width=64, height=64, steps=2, **settings))


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("naming", ["kohya", "diffusers", "old diffusers"])
def test_text_encoders_are_those_with_the_products_in_their_weights(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str, naming: str
) -> None:
    folder = checkpoint(kind)
    file = text_lora(tmp_path / "words.safetensors", folder, naming, kind)
    found = small(folder, lora=f"{file}:0.5")
    expected = small(merged(folder, tmp_path / "merged", kind, 0.5))
    torch.testing.assert_close(found.latents, expected.latents, atol=1e-5, rtol=0)
    assert (found.latents - small(folder).latents).abs().max() > 1e-3
    kinds = inspect_path(str(file))
    assert (kinds.kind, "of text encoders)" in kinds.reason) == ("lora", True)


@pytest.mark.parity
@pytest.mark.parametrize("kind", PIPELINES)
def test_the_latents_are_those_of_the_pipeline_with_it(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the network and on the CLIPs: diffusers puts none on T5."""
    folder, kind_of = checkpoint(kind), PIPELINES[kind]
    clips = ("text_encoder", "text_encoder_2") if kind.startswith("sd3") else ("text_encoder",)
    words = text_lora(tmp_path / "words.safetensors", folder, "diffusers", kind, only=clips)
    factors = factors_of(layers_of(network_of(kind)), seed=5)
    file = write_lora(tmp_path / "style.safetensors", factors, more=load_file(words))
    ran = small(folder, lora=f"{file}:0.8", cfg=2)
    read = kind_of.from_pretrained

    def with_lora(*given: object, **settings: object) -> object:
        pipe = read(*given, **settings)
        pipe.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name="style")
        pipe.set_adapters(["style"], [0.8])
        return pipe

    monkeypatch.setattr(kind_of, "from_pretrained", with_lora)
    expected = flux_reference(folder, ran) if kind == "flux-dev" else torch.from_numpy(reference(folder, ran))
    torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)
    network_alone = write_lora(tmp_path / "network.safetensors", factors)
    assert (small(folder, lora=f"{network_alone}:0.8", cfg=2).latents - expected).abs().max() > 1e-3


def test_cached_prompts_and_encoders_that_come_later_have_the_loras_of_their_run(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = checkpoint("sd3-medium")
    file = text_lora(tmp_path / "words.safetensors", folder, "kohya", "sd3-medium")
    engine = Engine()
    alone = {
        (t5, lora): small(folder, t5=t5, lora=lora) for t5 in ("on", "zeros") for lora in ("", str(file))
    }
    for t5, lora in [
        ("zeros", ""),
        ("zeros", str(file)),
        ("on", str(file)),
        ("on", ""),
        ("zeros", str(file)),
    ]:
        request = asked(folder, width=64, height=64, steps=2, t5=t5, lora=lora)
        found = run(request, engine=engine)
        assert torch.equal(found.latents, alone[t5, lora].latents), (t5, bool(lora))
        assert found.finished.weights_sha256 == alone[t5, lora].finished.weights_sha256


def test_t5_in_eight_bits_takes_one(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    folder = checkpoint("sd3-medium")
    file = text_lora(tmp_path / "words.safetensors", folder, "kohya", "sd3-medium", only=("text_encoder_3",))
    eight = {"large_encoder": "int8"}
    found, exact = small(folder, lora=str(file), **eight).latents, small(folder, lora=str(file)).latents
    without = small(folder, **eight).latents
    assert (found - exact).abs().max() < 0.2 * (found - without).abs().max()


def test_an_encoder_that_the_checkpoint_is_without_is_named_in_the_plan(tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path / "whole", KINDS["sd3-medium"])
    folder = write_checkpoint(tmp_path / "without", KINDS["sd3-medium"], with_t5=False)
    file = text_lora(tmp_path / "words.safetensors", whole, "kohya", "sd3-medium")
    made = plan(Request(prompt="a", model=str(folder), lora=str(file)), find(str(folder)), Budget())
    assert any("words.safetensors also changes T5, which" in note for note in made.notes)
    assert fingerprint(made.spec) != fingerprint(find(str(folder)))
    run(asked(folder, width=64, height=64, steps=1, lora=str(file)))
    text_lora(file, whole, "kohya", "sd3-medium", only=("text_encoder_3",))
    with pytest.raises(Refusal, match="changes T5 alone"):
        plan(Request(prompt="a", model=str(folder), lora=str(file)), find(str(folder)), Budget())
