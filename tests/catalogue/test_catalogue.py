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
    assets,
    depths,
    find,
    fingerprint,
    how_to_get,
    locate,
    read_folder,
)
from sd3demo.catalogue.spec import Schedule
from sd3demo.catalogue.weight_files import measure, read_header, weights_hash
from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS

HUB = {name: spec for name, spec in CATALOGUE.items() if spec.hub}


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of a small checkpoint, to be damaged."""
    return Path(shutil.copytree(checkpoint("sd3.5-medium"), tmp_path / "model"))


def refusal(path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        find(str(path))
    return str(caught.value)


@pytest.mark.parametrize("name", HUB)
def test_a_hub_model_is_pinned_to_a_commit(name: str) -> None:
    assert re.fullmatch("[0-9a-f]{40}", HUB[name].revision)


@pytest.mark.parametrize("name", HUB)
def test_the_transformers_size_is_what_its_shape_says(name: str) -> None:
    import torch
    from diffusers import SD3Transformer2DModel

    network = HUB[name].network
    with torch.device("meta"):
        model = SD3Transformer2DModel(
            num_layers=network.depth,
            num_attention_heads=network.heads,
            attention_head_dim=network.hidden // network.heads,
            caption_projection_dim=network.hidden,
            joint_attention_dim=network.joint_dim,
            pooled_projection_dim=network.pooled_dim,
            pos_embed_max_size=network.table,
            dual_attention_layers=tuple(range(network.dual)),
            qk_norm="rms_norm" if network.qk_norm else None,
        )
    parameters = sum(weight.numel() for weight in model.parameters())
    assert HUB[name].components["transformer"].parameters == parameters


@pytest.mark.parametrize("name", HUB)
def test_a_hub_model_is_found_by_its_hub_id_too(name: str) -> None:
    assert find(HUB[name].hub) == find(name)


@pytest.mark.parametrize("name", HUB)
def test_an_absent_gated_model_is_answered_with_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refusal) as caught:
        locate(find(name))
    spec = HUB[name]
    for part in (f"accept its licence at https://huggingface.co/{spec.hub}", "hf auth login", spec.revision):
        assert part in str(caught.value)


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


def test_the_schedules_are_the_grids_conventions() -> None:
    assert get_args(Schedule) == tuple(CONVENTIONS)


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
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert "is a FluxPipeline" in refusal(folder)


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
    (folder / "vae" / "x.safetensors.index.json").write_text(json.dumps(index))
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
    link = tmp_path / "vae" / "a.safetensors"
    link.parent.mkdir()
    link.symlink_to(blob)
    plain = tmp_path / "plain" / "vae" / "a.safetensors"
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
