"""The catalogue says what is true of each checkpoint, and a folder's spec is read and not assumed."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from sd3demo.catalogue import (
    CATALOGUE,
    ConstantShift,
    FluxShape,
    Latent,
    LinearMuShift,
    Lumina2Shape,
    LuminaNextShape,
    assets,
    depths,
    find,
    fingerprint,
    how_to_get,
    locate,
    read_folder,
)
from sd3demo.catalogue.spec import Renorming, Schedule
from sd3demo.catalogue.weight_files import measure, read_header, weights_hash
from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS
from sd3demo.flow.guidance import Renorm

HUB = {name: spec for name, spec in CATALOGUE.items() if spec.hub}
UNPINNED = ("neta-lumina", "netayume-lumina")


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of a small checkpoint, to be damaged."""
    return Path(shutil.copytree(checkpoint("sd3.5-medium"), tmp_path / "model"))


def refusal(path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        find(str(path))
    return str(caught.value)


@pytest.mark.parametrize("name", HUB)
def test_a_hub_model_is_pinned_to_a_commit_or_says_that_it_is_not(name: str) -> None:
    spec = HUB[name]
    assert bool(re.fullmatch("[0-9a-f]{40}", spec.revision)) == (name not in UNPINNED)
    assert ("not pinned" in spec.note) == (name in UNPINNED)


@pytest.mark.parametrize("name", [name for name, spec in HUB.items() if spec.encoders[0].name == "gemma"])
def test_the_text_encoders_size_is_gemmas(name: str) -> None:
    """Gemma 2B and Gemma 2 2B by their published shapes, on the device that holds no numbers."""
    import torch
    from transformers import Gemma2Config, Gemma2Model, GemmaConfig, GemmaModel

    shared = {"vocab_size": 256_000, "num_attention_heads": 8, "head_dim": 256}
    width = HUB[name].network.text_width
    with torch.device("meta"):
        model = (
            GemmaModel(
                GemmaConfig(
                    hidden_size=width,
                    intermediate_size=16_384,
                    num_hidden_layers=18,
                    num_key_value_heads=1,
                    **shared,
                )
            )
            if width == 2048
            else Gemma2Model(
                Gemma2Config(
                    hidden_size=width,
                    intermediate_size=9216,
                    num_hidden_layers=26,
                    num_key_value_heads=4,
                    **shared,
                )
            )
        )
    counted = sum(weight.numel() for weight in model.parameters())
    assert HUB[name].components["text_encoder"].parameters == counted


@pytest.mark.parametrize(("name", "channels"), [("lumina-next", 4), ("lumina-image-2", 16)])
def test_the_autoencoders_size_is_that_of_its_latent(name: str, channels: int) -> None:
    """SDXL's has two 1 x 1 convolutions more than FLUX.1's."""
    import torch
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        model = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=channels,
            use_quant_conv=channels == 4,
            use_post_quant_conv=channels == 4,
        )
    counted = sum(weight.numel() for weight in model.parameters())
    assert (HUB[name].latent.channels, HUB[name].components["vae"].parameters) == (channels, counted)


@pytest.mark.parametrize("name", HUB)
def test_the_transformers_size_is_what_its_shape_says(name: str) -> None:
    from tests.catalogue.meta_networks import NETWORKS

    network = HUB[name].network
    model = NETWORKS[type(network)](network)
    parameters = sum(weight.numel() for weight in model.parameters())
    assert HUB[name].components["transformer"].parameters == parameters


@pytest.mark.parametrize("image", [64, pytest.param(1024, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", {repr(spec.network): name for name, spec in HUB.items()}.values())
def test_the_operations_of_a_call_are_those_that_torch_counts(name: str, image: int) -> None:
    """Within 2%: what time alone decides, norms and activations are left out of the count."""
    from torch.utils.flop_counter import FlopCounterMode

    from tests.catalogue.meta_networks import CALLS, NETWORKS

    spec = HUB[name]
    text = 64
    model = NETWORKS[type(spec.network)](spec.network)
    with FlopCounterMode(display=False) as counter:
        CALLS[type(spec.network)](model, spec.network, image, text)
    modulations = 2 * sum(
        weight.numel()
        for part, weight in model.named_parameters()
        if weight.ndim == 2 and ("norm" in part or "time_text_embed" in part)
    )
    assert spec.network.flops(image, text) == pytest.approx(counter.get_total_flops() - modulations, rel=0.02)


@pytest.mark.parametrize("name", HUB)
def test_a_hub_model_is_found_by_its_hub_id_too(name: str) -> None:
    assert find(HUB[name].hub) == find(name)


@pytest.mark.parametrize("name", HUB)
def test_an_absent_model_is_answered_with_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refusal) as caught:
        locate(find(name))
    spec = HUB[name]
    assert f"hf download {spec.hub} --revision {spec.revision}" in str(caught.value)
    for part in (f"accept its licence at https://huggingface.co/{spec.hub}", "hf auth login"):
        assert (part in str(caught.value)) == spec.gated


def test_a_model_in_the_hubs_cache_is_where_the_hub_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = find("sd3-medium")
    place = (
        tmp_path / "models--stabilityai--stable-diffusion-3-medium-diffusers" / "snapshots" / spec.revision
    )
    place.mkdir(parents=True)
    (place / "model_index.json").write_text("{}")
    assert locate(spec) == place


def test_another_revision_in_the_hubs_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--stabilityai--stable-diffusion-3.5-large" / "snapshots" / "abc"
    place.mkdir(parents=True)
    (place / "model_index.json").write_text("{}")
    with pytest.raises(Refusal, match=f"give another revision that is here: --model {place}"):
        locate(find("sd3.5-large"))


def test_the_schedules_are_the_grids_conventions() -> None:
    assert get_args(Schedule) == tuple(CONVENTIONS)


def test_the_renormalisations_are_those_of_guidance() -> None:
    assert get_args(Renorming) == get_args(Renorm)


def test_an_unknown_name_is_answered_with_all_that_are_known() -> None:
    with pytest.raises(Refusal, match=f"unknown model 'sd4'; choose one of {', '.join(CATALOGUE)}, or "):
        find("sd4")


def test_the_sentence_for_an_absent_embedded_model_names_its_place() -> None:
    assert "sd3demo train" in how_to_get(CATALOGUE["tiny"])


def test_a_folders_spec_is_read_from_its_configs(checkpoint: Callable[..., Path]) -> None:
    spec = find(str(checkpoint("sd3.5-medium")))
    network = spec.network
    assert (network.depth, network.hidden, network.heads, network.dual) == (3, 32, 4, 2)
    assert (network.qk_norm, network.table, network.patch, network.channels) == (True, 16, 2, 16)
    assert (spec.native, spec.latent.factor, spec.latent.multiple, spec.can.max_side) == (64, 4, 8, 128)
    assert [encoder.tokens for encoder in spec.encoders] == [9, 9, 9]
    assert spec.shift.default(1, 1) == 3.0


def test_a_folders_native_size_follows_its_configs(folder: Path) -> None:
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 24}))
    assert find(str(folder)).native == 96


def test_a_folders_parameters_are_those_that_diffusers_counts(checkpoint: Callable[..., Path]) -> None:
    from diffusers import AutoencoderKL

    folder = checkpoint("sd3-medium")
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    assert find(str(folder)).components["vae"].parameters == sum(
        weight.numel() for weight in vae.parameters()
    )


def test_a_folder_without_t5_is_a_model_without_t5(checkpoint: Callable[..., Path]) -> None:
    assert not find(str(checkpoint("sd3-medium", with_t5=False))).has("t5")
    assert find(str(checkpoint("sd3-medium"))).has("t5")


def test_an_empty_folder_is_not_a_model(tmp_path: Path) -> None:
    assert "has no model_index.json" in refusal(tmp_path)


def test_another_pipelines_folder_is_refused_by_name(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "PixArtAlphaPipeline"}')
    assert "is a PixArtAlphaPipeline; the models that can be run here are StableDiffusion3" in refusal(folder)


def test_a_flux_folders_spec_is_read_from_its_configs(checkpoint: Callable[..., Path]) -> None:
    dev, schnell = (find(str(checkpoint(f"flux-{name}"))) for name in ("dev", "schnell"))
    network = dev.network
    assert isinstance(network, FluxShape)
    assert (network.double, network.single, network.hidden, network.heads, network.axes) == (
        2, 3, 32, 2, (4, 6, 6)
    )  # fmt: skip
    assert (dev.family, dev.native, dev.latent.multiple, dev.latent.channels) == ("flux", 512, 8, 16)
    assert [(each.tokens, each.has_rows) for each in dev.encoders] == [(9, False), (9, True)]
    assert (dev.can.guidance, schnell.can.guidance) == ("embedded", "none")
    assert (dev.defaults.guidance, schnell.defaults.guidance) == (3.5, None)
    assert dev.shift == LinearMuShift(patch_side=8)
    assert schnell.shift == ConstantShift(1.0)


@pytest.mark.parametrize("pipeline", ["LuminaPipeline", "LuminaText2ImgPipeline"])
def test_a_lumina_next_folders_spec_is_read_from_its_configs(
    checkpoint: Callable[..., Path], tmp_path: Path, pipeline: str
) -> None:
    spec = find(str(renamed(checkpoint("lumina-next"), tmp_path, pipeline)))
    shape = LuminaNextShape(
        depth=3, hidden=32, heads=4, kv_heads=2, text_dim=24, channels=4, patch=2, multiple_of=16
    )
    assert (spec.family, spec.network, spec.native, spec.latent) == ("lumina-next", shape, 64, Latent(4))
    assert [(each.name, each.tokens, each.limit) for each in spec.encoders] == [("gemma", 64, 64)]
    assert (spec.shift, spec.defaults.schedule) == (ConstantShift(1.0), "uniform")


@pytest.mark.parametrize("pipeline", ["Lumina2Pipeline", "Lumina2Text2ImgPipeline"])
def test_a_lumina2_folders_spec_is_read_from_its_configs(
    checkpoint: Callable[..., Path], tmp_path: Path, pipeline: str
) -> None:
    spec = find(str(renamed(checkpoint("lumina2"), tmp_path, pipeline)))
    shape = Lumina2Shape(
        joint=3, refiners=1, hidden=48, heads=4, kv_heads=2, text_dim=24, axes=(4, 4, 4), multiple_of=16
    )
    assert (spec.family, spec.network, spec.native, spec.latent) == ("lumina2", shape, 64, Latent())
    assert (spec.shift, spec.defaults.renorm) == (ConstantShift(6.0), "whole")


def renamed(folder: Path, tmp_path: Path, pipeline: str) -> Path:
    """A copy of a checkpoint whose index names that pipeline."""
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": pipeline}))
    return copy


def test_a_flux_folder_without_an_encoder_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint("flux-dev"), tmp_path / "model"))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"text_encoder_2": [None, None]}))
    assert "names no text_encoder_2" in refusal(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    for file in (folder / "transformer").glob("*.safetensors"):
        file.unlink()
    assert "transformer holds no weights" in refusal(folder)


def test_a_family_shares_all_but_the_transformer(folder: Path) -> None:
    import torch
    from diffusers import SD3Transformer2DModel

    from sd3demo.models import fingerprint
    from sd3demo.models.sd3.loading import load

    shutil.copytree(folder / "transformer", folder / "transformer-1")
    config = json.loads((folder / "transformer-1" / "config.json").read_text())
    config["num_layers"] -= 1
    config["dual_attention_layers"] = []
    smaller = SD3Transformer2DModel.from_config(config)
    smaller.save_pretrained(folder / "transformer-1")
    whole, family = read_folder(folder), read_folder(folder, "transformer-1")
    assert family.network.depth == whole.network.depth - 1
    assert family.components["transformer"].parameters == sum(
        w.numel() for w in smaller.state_dict().values()
    )
    assert family.components["vae"] == whole.components["vae"]
    assert fingerprint(family) != fingerprint(whole)
    loaded = load(family, folder, torch.float32, frozenset(family.components))
    assert len(loaded.transformer.transformer_blocks) == family.network.depth


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_pickled_weights_are_refused(folder: Path, suffix: str) -> None:
    (file,) = (folder / "vae").glob("*.safetensors")
    file.rename(file.with_suffix(suffix))
    assert "holds pickled weights" in refusal(folder)


@pytest.mark.parametrize("left", [0, 5, 100, -1])
def test_a_truncated_file_is_known_before_it_is_loaded(folder: Path, left: int) -> None:
    (file,) = (folder / "text_encoder_3").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:left])
    assert "is truncated or not a safetensors file" in refusal(folder)


@pytest.mark.parametrize("header", [b"[]", b"{}x", b'{"a": 3}', b'{"a": {"data_offsets": "x"}}', b"\xff\xff"])
def test_a_forged_header_is_refused(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(Refusal, match="not a safetensors file"):
        read_header(file)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "vae" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00001-of-00002.safetensors" in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_config_that_is_not_an_object_is_refused(folder: Path, text: str) -> None:
    (folder / "transformer" / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


def test_the_hash_of_weights_changes_with_a_byte_and_not_with_a_place(folder: Path, tmp_path: Path) -> None:
    components = ["transformer", "vae"]
    before = weights_hash(folder, components)
    other = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert weights_hash(other, components) == before
    (file,) = (other / "vae").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert weights_hash(other, components) != before


def test_a_blob_of_the_hubs_cache_is_known_by_its_name(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"never read")
    link = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    link.parent.mkdir()
    link.symlink_to(blob)
    plain = tmp_path / "plain" / "vae" / "diffusion_pytorch_model.safetensors"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(b"never read")
    assert weights_hash(tmp_path, ["vae"]) != weights_hash(tmp_path / "plain", ["vae"])


@pytest.mark.parametrize("name", ["tiny", "tiny-3", "tiny-2", "tiny-sizes"])
def test_the_embedded_model_is_what_its_entry_says(name: str) -> None:
    spec, entry = find(name), CATALOGUE[name]
    assert spec.folder
    assert spec.name == name
    assert (spec.native, spec.latent) == (entry.native, entry.latent)
    assert spec.encoders == entry.encoders
    assert spec.network == entry.network
    assert spec.note == entry.note
    assert bool(spec.note) == (name != "tiny")
    assert measure(Path(spec.folder) / "vae").parameters > 0


def test_the_depths_share_all_but_the_transformer() -> None:
    assert depths() == ("tiny-2", "tiny-3", "tiny")
    specs = [find(name) for name in depths()]
    assert [spec.network.depth for spec in specs] == [2, 3, 4]
    assert len({spec.components["transformer"].parameters for spec in specs}) == len(specs)
    shared = [
        {name: spec.components[name] for name in spec.components if name != "transformer"} for spec in specs
    ]
    assert all(parts == shared[0] for parts in shared)
    assert len({fingerprint(spec) for spec in specs}) == len(specs)


def test_the_model_of_several_sizes_is_tiny_with_other_weights() -> None:
    sizes, tiny = find("tiny-sizes"), find("tiny")
    assert sizes.name not in depths()
    assert sizes.network == tiny.network
    assert sizes.components["transformer"].parameters == tiny.components["transformer"].parameters
    assert fingerprint(sizes) != fingerprint(tiny)


def test_a_depth_that_is_not_here_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(
        assets() / "tiny", tmp_path / "tiny", ignore=shutil.ignore_patterns("transformer_depth_*")
    )
    monkeypatch.setattr("sd3demo.catalogue.entries.assets", lambda: tmp_path)
    assert depths() == ("tiny",)
    with pytest.raises(Refusal, match="the embedded model is not at"):
        locate(find("tiny-3"))
