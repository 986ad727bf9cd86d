"""Folders that bitsandbytes or torchao quantised: run where the library and the device are, else refused."""

import json
import shutil
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch

from sd3demo.catalogue import find, folder_checks
from sd3demo.engine import Budget, Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.costs import component_bytes
from sd3demo.engine.plan.memory import GIB
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from tests.engine.runs import HERE

Checkpoint = Callable[..., Path]
GPU = Budget("cuda", 80 * GIB, 1e14)


def marked(checkpoint: Checkpoint, tmp_path: Path, component: str, method: str) -> Path:
    """A folder whose config says that a component is quantised."""
    folder = Path(shutil.copytree(checkpoint(), tmp_path / "model"))
    file = folder / component / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"quantization_config": {"quant_method": method}}))
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    found: set[str] = set()
    monkeypatch.setattr(
        folder_checks, "find_spec", lambda name: ModuleSpec(name, None) if name in found else None
    )
    return found


@pytest.mark.parametrize("component", ["transformer", "text_encoder_3"])
@pytest.mark.parametrize(("method", "extra"), [("bitsandbytes", "int4"), ("torchao", "int8")])
def test_without_its_library_a_folder_is_refused_in_one_line(
    checkpoint: Checkpoint, tmp_path: Path, installed: set[str], component: str, method: str, extra: str
) -> None:
    folder = marked(checkpoint, tmp_path, component, method)
    with pytest.raises(Refusal) as caught:
        find(str(folder))
    said = str(caught.value)
    assert f"{component} is quantised by {method}, which needs that library" in said
    assert f"sd3demo[{extra}]" in said
    assert "\n" not in said


def test_what_bitsandbytes_quantised_is_planned_for_a_gpu_alone(
    checkpoint: Checkpoint, tmp_path: Path, installed: set[str]
) -> None:
    installed.add("bitsandbytes")
    folder = marked(checkpoint, tmp_path, "transformer", "bitsandbytes")
    spec, request = find(str(folder)), Request(prompt="a", model=str(folder))
    assert spec.quantised == (("transformer", "bitsandbytes"),)
    with pytest.raises(Refusal, match="quantised by bitsandbytes, which runs on a CUDA device alone"):
        plan(request, spec, HERE)
    made = plan(request, spec, GPU)
    assert made.placement == "resident"
    assert component_bytes(made.request, spec, "transformer") == spec.components["transformer"].bytes
    with pytest.raises(Refusal, match="placement is streamed; weights of bitsandbytes stay"):
        plan(request.model_copy(update={"placement": "streamed"}), spec, GPU)


def test_an_encoder_that_is_quantised_is_not_quantised_again(
    checkpoint: Checkpoint, tmp_path: Path, installed: set[str]
) -> None:
    installed.add("torchao")
    folder = marked(checkpoint, tmp_path, "text_encoder_3", "torchao")
    request = Request(prompt="a", model=str(folder), large_encoder="bfloat16")
    with pytest.raises(Refusal, match="the folder's T5 is quantised by torchao already"):
        plan(request, find(str(folder)), HERE)


@pytest.mark.parametrize("kind", ["sd3.5-medium", "flux-dev"])
def test_a_transformer_that_torchao_quantised_makes_the_picture(
    checkpoint: Checkpoint, tmp_path: Path, kind: str
) -> None:
    quantization = pytest.importorskip("torchao.quantization", reason="needs torchao, the extra int8")
    from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, TorchAoConfig

    plain = checkpoint(kind)
    folder = Path(shutil.copytree(plain, tmp_path / "model"))
    network = FluxTransformer2DModel if kind == "flux-dev" else SD3Transformer2DModel
    settings = TorchAoConfig(quantization.Int8WeightOnlyConfig(version=2))
    quantised = network.from_pretrained(
        plain / "transformer", quantization_config=settings, torch_dtype=torch.float32
    )
    shutil.rmtree(folder / "transformer")
    quantised.save_pretrained(folder / "transformer")
    pictures = []
    for model in (plain, folder):
        values = {"prompt": "a red circle", "model": str(model), "steps": 3, "width": 64, "height": 64}
        spec = find(str(model))
        made = plan(Request.model_validate(values), spec, HERE)
        *_, last = Engine().run(made)
        assert isinstance(last, Finished)
        pictures.append(last.pictures[0].astype(int))
    assert find(str(folder)).quantised == (("transformer", "torchao"),)
    apart = np.abs(pictures[0] - pictures[1])
    assert apart.max() > 0
    assert apart.mean() < 4
