"""Muon in float32 beside torch's own, and where each is used."""

import pytest
import torch
from torch import nn

from sd3demo.training import precision
from sd3demo.training.optimiser import Muon32, MuonWithAdamW, orthogonal
from sd3demo.training.precision import mixed

CPU = torch.device("cpu")
SHAPES = ((24, 8), (8, 24), (16, 16))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_matrix_becomes_orthogonal(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonal(torch.randn(shape), (3.4445, -4.775, 2.0315), 5))
    assert 0.5 < found.min() <= found.max() < 1.3


@pytest.mark.parametrize("shape", SHAPES)
def test_it_steps_as_torchs_own_does_and_goes_on_from_its_state(shape: tuple[int, int]) -> None:
    """But for the rounding of bfloat16, which is 1 part in 256."""
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), torch.randn(6, *shape)
    chosen = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    moved = []
    for kinds in ((torch.optim.Muon, torch.optim.Muon), (Muon32, Muon32), (torch.optim.Muon, Muon32)):
        weight, state = nn.Parameter(start.clone()), None
        for kind, part in zip(kinds, gradients.split(3), strict=True):
            optimiser = kind([weight], **chosen)
            if state is not None:
                optimiser.load_state_dict(state)
            for gradient in part:
                weight.grad = gradient.clone()
                optimiser.step()
            state = optimiser.state_dict()
        moved.append((weight - start).detach())
    for other in moved[1:]:
        assert (other - moved[0]).norm() < 0.03 * moved[0].norm()


@pytest.mark.parametrize("narrow", [True, False])
def test_a_cpu_without_bfloat16_products_is_not_asked_for_them(
    narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: narrow)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert precision.multiplies_bfloat16() is narrow
    with mixed(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if narrow else torch.float32)
    made = MuonWithAdamW(nn.Linear(4, 4).named_parameters(), learning_rate=1e-3, matrix_rate=1e-3)
    assert isinstance(made._muon, Muon32) is not narrow
