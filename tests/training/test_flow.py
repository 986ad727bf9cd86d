"""What the flow learns: the path's velocity, or at the native size that of a network that is kept."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sd3demo.errors import Refusal
from sd3demo.settings import parse
from sd3demo.training.dataset import LABELS
from sd3demo.training.flow import FlowTraining, Recipe, _descend
from sd3demo.training.run import train
from sd3demo.training.settings import TrainSettings
from sd3demo.training.sizes import OWN, PictureSize
from sd3demo.training.tokenizers import LENGTH
from sd3demo.training.transformer import mmdit

CPU = torch.device("cpu")
LARGER = PictureSize(96, 64)


def gradient(training: FlowTraining, size: PictureSize) -> Tensor:
    """Of the last layer's weights, by one batch."""
    torch.manual_seed(1)
    x0 = torch.randn(2, 16, *size.latent)
    rows, columns = size.grid
    batch = (x0, torch.zeros(2, rows * columns, LABELS), torch.randn(2, 2 * LENGTH, 256), torch.randn(2, 224))
    _descend(training, batch, torch.tensor([0.3, 0.8]), torch.randn_like(x0), training.module)
    found = training.module.transformer.proj_out.weight.grad
    assert found is not None
    return found.clone()


def made(seed: int, kept: bool, weight: float = 1.0) -> FlowTraining:
    torch.manual_seed(seed)
    network, other = mmdit(2), mmdit(2)
    other.load_state_dict(network.state_dict())
    recipe = Recipe(label_weight=0.0, keep_weight=weight)
    return FlowTraining(network, recipe, CPU, other if kept else None)


def test_at_the_native_size_a_kept_network_is_the_target() -> None:
    assert gradient(made(0, True), OWN).abs().max() == 0  # it is what it was
    assert gradient(made(0, False), OWN).abs().max() > 0
    training = made(0, True)
    with torch.no_grad():
        training.module.transformer.proj_out.bias += 1
    moved = gradient(training, OWN)
    twice = made(0, True, weight=2.0)
    with torch.no_grad():
        twice.module.transformer.proj_out.bias += 1
    assert moved.abs().max() > 0
    assert torch.allclose(gradient(twice, OWN), 2 * moved, rtol=1e-3)


def test_at_other_sizes_the_target_is_the_paths() -> None:
    assert torch.equal(gradient(made(0, True), LARGER), gradient(made(0, False), LARGER))


def test_a_kept_network_does_not_learn() -> None:
    training = made(0, True)
    gradient(training, OWN)
    assert training.kept is not None
    assert not any(weight.requires_grad for weight in training.kept.parameters())
    assert not any("kept" in name for name in training.state_dict()["module"])  # type: ignore[attr-defined]


def test_a_model_of_another_depth_cannot_be_kept(tmp_path: Path) -> None:
    other = tmp_path / "other" / "transformer"
    other.mkdir(parents=True)
    (other / "config.json").write_text('{"num_layers": 1}')
    given = {"keep": other.parent, "resume": "assets/tiny", "out": tmp_path / "run", "ring": 256}
    asked = parse(TrainSettings, {**given, "minutes": 0.01})
    with pytest.raises(Refusal, match=r"keep is 4 and .* holds a transformer of depth 1; give --keep 1"):
        list(train(asked))
