"""A model from one file gives the picture of the folder that the file was made of, without the network."""

import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd3demo.catalogue import find, fingerprint
from sd3demo.catalogue.weight_files import weight_files
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from tests.checkpoints import KINDS, write_checkpoint
from tests.engine.runs import run
from tests.original_layouts import component, write_sd3_file, write_sd3_gguf


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **more: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def picture(model: str, **settings: object) -> np.ndarray:
    values = {"prompt": "a red circle above a blue square", "seed": 3, "steps": 2, "model": model}
    return run(Request.model_validate(values | settings)).finished.pictures[0]


def apart(found: np.ndarray, expected: np.ndarray) -> int:
    """The largest difference in levels of 255; products of weights that lie elsewhere in memory may round."""
    return int(np.abs(found.astype(int) - expected).max())


def emptied(folder: Path, *components: str) -> Path:
    """The folder without the weights of some components: their configs and tokenizers stay."""
    for name in components:
        for file in weight_files(folder / name):
            file.unlink()
    return folder


ALL = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")


@pytest.mark.parametrize("kind", ["sd3-medium", "sd3.5-medium", "sd3.5-large"])
@pytest.mark.parametrize("layout", ["original", "bare", "diffusers"])
def test_a_file_of_sd3_gives_the_folders_picture(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str, layout: str
) -> None:
    folder = Path(shutil.copytree(checkpoint(kind), tmp_path / "model"))
    expected, file = picture(str(folder)), tmp_path / "a.safetensors"
    if layout == "diffusers":
        save_file(component(folder, "transformer"), file)
    else:
        write_sd3_file(file, folder, prefix=layout != "bare")
    name = f"{file}+{emptied(folder, 'transformer')}"
    assert find(name).components["transformer"].parameters == sum(
        weight.numel() for weight in component(checkpoint(kind), "transformer").values()
    )
    assert apart(picture(name), expected) <= 1


def test_a_file_that_holds_all_gives_the_folders_picture(tmp_path: Path) -> None:
    """Of CLIP-L without a projection, as in the published files: the loader puts the identity there."""
    folder = write_checkpoint(tmp_path / "model", replace(KINDS["sd3.5-medium"], projection=16))
    (file,) = (folder / "text_encoder").glob("*.safetensors")
    weights = load_file(file) | {"text_projection.weight": torch.eye(16)}
    save_file(weights, file, metadata={"format": "pt"})
    expected = picture(str(folder))
    name = f"{write_sd3_file(tmp_path / 'a.safetensors', folder, parts='all')}+{emptied(folder, *ALL)}"
    assert set(find(name).in_file) == set(ALL)
    assert apart(picture(name), expected) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flux-dev", "flux-schnell"])
def test_a_file_of_flux_in_diffusers_names_gives_the_folders_picture(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    folder = Path(shutil.copytree(checkpoint(kind), tmp_path / "model"))
    expected = picture(str(folder))
    save_file(component(folder, "transformer"), tmp_path / "a.safetensors")
    emptied(folder, "transformer")
    assert apart(picture(f"{tmp_path / 'a.safetensors'}+{folder}"), expected) <= 1


@pytest.mark.parametrize("kind", ["sd3.5-medium", "sd3.5-large"])
@pytest.mark.parametrize("quantised", [False, True], ids=["F32", "Q8_0"])
def test_a_gguf_file_gives_the_folders_picture(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str, quantised: bool
) -> None:
    pytest.importorskip("gguf")
    folder = Path(shutil.copytree(checkpoint(kind), tmp_path / "model"))
    expected = picture(str(folder))
    file = write_sd3_gguf(tmp_path / "a.gguf", folder, quantised=quantised)
    found = picture(f"{file}+{emptied(folder, 'transformer')}")
    assert apart(found, expected) <= (8 if quantised else 1)


def test_gguf_without_its_library_is_refused_in_the_plan(
    tmp_path: Path, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    file = write_sd3_gguf(tmp_path / "a.gguf", checkpoint("sd3.5-medium"), quantised=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Refusal, match="pip install gguf"):
        find(f"{file}+{checkpoint('sd3.5-medium')}")


def test_a_file_finds_the_folder_that_it_lies_in(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint("sd3.5-medium"), tmp_path / "model"))
    file = write_sd3_file(folder / "sd3.safetensors", folder)
    assert find(str(file)).folder == str(folder)
    assert find(str(file)).in_file == ("transformer",)
    moved = Path(shutil.move(file, tmp_path / "sd3.safetensors"))
    with pytest.raises(Refusal, match=r"name one after a plus sign, sd3.safetensors\+FOLDER"):
        find(str(moved))


def test_a_folder_of_another_family_is_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    file = write_sd3_file(tmp_path / "a.safetensors", checkpoint("sd3.5-medium"))
    with pytest.raises(Refusal, match=r"is of FLUX\.1; give a folder of the same family"):
        find(f"{file}+{checkpoint('flux-dev')}")


def test_the_weights_hash_is_the_files_and_not_its_names(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = checkpoint("sd3.5-medium")
    first = write_sd3_file(tmp_path / "a.safetensors", folder)
    second = Path(shutil.copy(first, tmp_path / "b.safetensors"))
    third = write_sd3_file(tmp_path / "c.safetensors", checkpoint("sd3.5-medium"), prefix=False)
    hashes = [fingerprint(find(f"{file}+{folder}")) for file in (first, second, third)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[0] != fingerprint(replace(find(str(folder)), name="a"))
