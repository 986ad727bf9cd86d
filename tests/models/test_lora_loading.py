"""LoRA files on a network: their products are added to the weights, as diffusers adds them, and taken off."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline, StableDiffusion3Pipeline
from diffusers.loaders import FluxLoraLoaderMixin
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from torch import Tensor, nn

from sd3demo.catalogue import find
from sd3demo.catalogue.lora_files import read_lora
from sd3demo.catalogue.spec import Adapter
from sd3demo.models import lora_loading
from sd3demo.models.lora import adapted, fused_weight
from sd3demo.models.lora_loading import apply_loras, remove_loras
from tests.checkpoints import FAMILY_PIPELINES, KINDS, pipeline
from tests.engine.runs import run
from tests.loras import NAMINGS, factors_of, layers_of, products, write_lora
from tests.original_layouts import original_sd3
from tests.parity.test_flux_pipeline import reference as flux_reference
from tests.parity.test_pipeline import asked

PIPELINES = {"sd3.5-medium": StableDiffusion3Pipeline, "flux-dev": FluxPipeline}
EVERYWHERE = ("attn.to_q", "attn.to_out.0", "net.2", "linear", "proj_out", "context_embedder", "linear_1")


def network_of(kind: str) -> nn.Module:
    made = pipeline(KINDS[kind]) if kind in KINDS else FAMILY_PIPELINES[kind]()
    return made.transformer.eval()


def adapter(file: Path, weight: float = 1.0) -> Adapter:
    return Adapter(read_lora(file).sha256, weight, str(file))


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The weight of every linear layer with what acts on it, by the layer's own name."""
    return {
        name: fused_weight(layer).detach().clone()
        for name, layer in network.named_modules()
        if (isinstance(layer, nn.Linear) or adapted(layer))
        and not name.endswith("base_layer")
        and ".lora_" not in name
    }


@pytest.mark.parametrize("kind", ["sd3-medium", "sd3.5-medium", "flux-dev", "lumina2"])
@pytest.mark.parametrize("naming", NAMINGS)
def test_the_product_is_added_to_the_weights_and_taken_off_again(
    tmp_path: Path, kind: str, naming: str
) -> None:
    network = network_of(kind)
    before = weights(network)
    factors = factors_of(layers_of(network, ("attn.to_q", "attn.to_out.0", "norm1.linear")))
    file = write_lora(tmp_path / "style.safetensors", factors, naming, alpha=6 if naming == "kohya" else None)
    apply_loras(network, [adapter(file, 0.5)])
    added = products(factors, 0.5 * (1.5 if naming == "kohya" else 1))
    after = weights(network)
    assert before.keys() == after.keys()
    for name, weight in after.items():
        torch.testing.assert_close(weight, before[name] + added.get(name, 0.0), atol=1e-5, rtol=0)
    remove_loras(network)
    assert not hasattr(network, "peft_config")
    for name, weight in weights(network).items():
        assert torch.equal(weight, before[name])


def test_two_loras_add_up_with_their_weights_and_ranks(tmp_path: Path) -> None:
    network = network_of("sd3.5-medium")
    before, layers = weights(network), layers_of(network, EVERYWHERE)
    some = dict([*layers.items()][::2])
    first, second = factors_of(layers), {**factors_of(some, rank=2, seed=1)}
    second |= factors_of({name: layers[name] for name in layers.keys() - some.keys()}, rank=3, seed=2)
    files = [
        write_lora(tmp_path / f"{name}.safetensors", factors)
        for name, factors in (("a", first), ("b", second))
    ]
    apply_loras(network, [adapter(files[0], 0.7), adapter(files[1], -1.5)])
    for name, weight in weights(network).items():
        added = products(first, 0.7).get(name, 0.0) + products(second, -1.5).get(name, 0.0)
        torch.testing.assert_close(weight, before[name] + added, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", PIPELINES)
def test_it_is_what_diffusers_makes_of_the_file(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    folder = checkpoint(kind)
    pipe = PIPELINES[kind].from_pretrained(folder)
    factors = factors_of(layers_of(pipe.transformer, ("attn.to_q", "attn.add_k_proj", "net.2", "linear")))
    file = write_lora(tmp_path / "style.safetensors", factors)
    ran = run(asked(folder, lora=f"{file}:0.8", width=64, height=64))
    plain = run(asked(folder, width=64, height=64))
    pipe.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name="style")
    pipe.set_adapters(["style"], [0.8])
    pipe.fuse_lora(lora_scale=1.0)
    expected = {
        name: layer.weight.detach()
        for name, layer in pipe.transformer.named_modules()
        if name.removesuffix(".base_layer") in factors and name.endswith("base_layer")
    }
    network = network_of(kind)
    network.load_state_dict(PIPELINES[kind].from_pretrained(folder).transformer.state_dict())
    apply_loras(network, [adapter(file, 0.8)])
    for name, weight in expected.items():
        found = fused_weight(network.get_submodule(name.removesuffix(".base_layer")))
        torch.testing.assert_close(found, weight, atol=1e-5, rtol=0)
    assert len(expected) == len(factors)
    assert (ran.latents - plain.latents).abs().max() > 1e-2


@pytest.mark.parity
@pytest.mark.parametrize("kind", PIPELINES)
def test_the_latents_are_those_of_the_pipeline_with_it(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kind_of = checkpoint(kind), PIPELINES[kind]
    factors = factors_of(layers_of(network_of(kind)), seed=5)
    file = write_lora(tmp_path / "style.safetensors", factors)
    ran = run(asked(folder, lora=f"{file}:0.8", width=64, height=64, cfg=2))
    read = kind_of.from_pretrained

    def with_lora(*words: object, **settings: object) -> object:
        pipe = read(*words, **settings)
        pipe.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name="style")
        pipe.set_adapters(["style"], [0.8])
        return pipe

    monkeypatch.setattr(kind_of, "from_pretrained", with_lora)
    if kind == "flux-dev":
        torch.testing.assert_close(ran.latents, flux_reference(folder, ran), rtol=0, atol=1e-5)
    else:
        from tests.parity.test_pipeline import reference

        expected = torch.from_numpy(reference(folder, ran))
        torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)


WIDE = 3072  # of FLUX.1's layers, which diffusers' converter takes for granted
ORIGINAL_FLUX = {
    "double_blocks.0.img_attn.qkv": (3 * WIDE, WIDE),
    "double_blocks.1.txt_attn.qkv": (3 * WIDE, WIDE),
    "double_blocks.0.img_attn.proj": (WIDE, WIDE),
    "double_blocks.1.img_mlp.0": (4 * WIDE, WIDE),
    "double_blocks.1.txt_mlp.2": (WIDE, 4 * WIDE),
    "double_blocks.0.img_mod.lin": (6 * WIDE, WIDE),
    "single_blocks.2.linear1": (7 * WIDE, WIDE),
    "single_blocks.0.linear2": (WIDE, 5 * WIDE),
    "single_blocks.1.modulation.lin": (3 * WIDE, WIDE),
}


@pytest.mark.parametrize("naming", ["kohya", "comfy"])
def test_the_joined_layers_of_flux_are_split_as_diffusers_splits_them(tmp_path: Path, naming: str) -> None:
    factors = factors_of(ORIGINAL_FLUX, rank=2)
    kohya = {
        f"lora_unet_{name.replace('.', '_')}.{end}.weight": factor
        for name, pair in factors.items()
        for end, factor in zip(("lora_down", "lora_up"), pair, strict=True)
    }
    comfy = {
        f"diffusion_model.{name}.{end}.weight": factor
        for name, pair in factors.items()
        for end, factor in zip(("lora_A", "lora_B"), pair, strict=True)
    }
    file = write_lora(tmp_path / "a.safetensors", {}, more=kohya if naming == "kohya" else comfy)
    lora = read_lora(file)
    assert lora.family == "flux"
    expected = FluxLoraLoaderMixin.lora_state_dict(dict(kohya))
    split = list(lora_loading._products(lora, lora.layers))
    assert len(split) == len({name.rpartition(".lora_")[0] for name in expected}) == 16
    for module, down, up in split:
        torch.testing.assert_close(down, expected[f"transformer.{module}.lora_A.weight"])
        torch.testing.assert_close(up, expected[f"transformer.{module}.lora_B.weight"])


def test_the_joined_layers_of_sd3_are_split_as_its_checkpoints_are(tmp_path: Path) -> None:
    network = network_of("sd3.5-medium")
    before = weights(network)
    original = original_sd3(network.state_dict())
    layers = {
        name.removesuffix(".weight"): tuple(weight.shape)
        for name, weight in original.items()
        if name.startswith("joint_blocks") and name.endswith(".weight") and weight.ndim == 2
    }
    factors = factors_of(layers)
    tensors = {
        f"lora_unet_{name.replace('.', '_')}.{end}.weight": factor
        for name, pair in factors.items()
        for end, factor in zip(("lora_down", "lora_up"), pair, strict=True)
    }
    apply_loras(network, [adapter(write_lora(tmp_path / "a.safetensors", {}, more=tensors))])
    changed = {
        **original,
        **{f"{name}.weight": original[f"{name}.weight"] + up @ down for name, (down, up) in factors.items()},
    }
    expected = convert_sd3_transformer_checkpoint_to_diffusers(dict(changed))
    different = 0
    for name, weight in weights(network).items():
        torch.testing.assert_close(weight, expected[f"{name}.weight"], atol=1e-5, rtol=0)
        different += int(not torch.equal(weight, before[name]))
    assert different >= len(layers)


def test_a_plan_puts_it_on_the_model_and_the_next_takes_it_off(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sd3demo.engine import Engine
    from sd3demo.models import load

    folder, loads = checkpoint("sd3-medium"), []
    network = network_of("sd3-medium")
    files = [
        write_lora(tmp_path / f"{seed}.safetensors", factors_of(layers_of(network), seed=seed))
        for seed in (1, 2)
    ]
    engine = Engine(lambda *given: loads.append(1) or load(*given))
    plain = run(asked(folder), engine=engine)
    with_one = run(asked(folder, lora=str(files[0])), engine=engine)
    with_other = run(asked(folder, lora=str(files[1])), engine=engine)
    again = run(asked(folder), engine=engine)
    assert len(loads) == 1, "only the LoRA is exchanged"
    assert torch.equal(plain.latents, again.latents)
    for one, other in ((plain, with_one), (with_one, with_other)):
        assert (one.latents - other.latents).abs().max() > 1e-2
        assert one.finished.weights_sha256 != other.finished.weights_sha256
    assert torch.equal(with_other.latents, run(asked(folder, lora=str(files[1]))).latents)
    assert find(str(folder)).adapters == ()
