"""The toolkit on random SD3s: neutral it is the stock network, and a copy of the text is a copy."""

import math
from dataclasses import replace

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor
from torch.nn.functional import pad

from sd3demo.flow.extrapolation.tuning import NEUTRAL, POSITIONS, Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models.attention_tuning import STOCK, Tuning, attend
from sd3demo.models.protocol import Dials
from sd3demo.models.sd3.modulation import modulations
from sd3demo.models.sd3.network_call import Resident, network_call
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import forward, lay_out, positions_of
from tests.checkpoints import KINDS, pipeline

COPIES = [2, 3, 4, 16]
NATIVE = (8, 8)


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest) -> SD3Transformer2DModel:
    found: SD3Transformer2DModel = pipeline(KINDS[request.param]).transformer
    return found.requires_grad_(False)


def random(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def velocity(
    network: SD3Transformer2DModel, text: Tensor, tuning: Tuning = STOCK, size: tuple[int, int] = (12, 8)
) -> Tensor:
    latent = random(2, 16, *size, seed=2, dtype=text.dtype)
    pooled = random(2, 24, seed=3, dtype=text.dtype)
    positions = positions_of(network, *size).to(text.dtype)
    modulation = modulations(network, (0.6,), pooled)[0]
    return forward(lay_out(network), latent, network.context_embedder(text), positions, modulation, tuning)


def asked(network: SD3Transformer2DModel, toolkit: Toolkit, x: Tensor, at: At) -> Tensor:
    texts = [SD3Text(random(1, 18, 48, dtype=x.dtype), random(1, 24, dtype=x.dtype))]
    dials = Dials((at.t,), toolkit)
    rows = network_call(network, Resident(network, lay_out(network), texts, dials), texts, dials)
    return rows(x, [at] * len(x), [0] * len(x))


@pytest.mark.parametrize("copies", COPIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@torch.inference_mode()
def test_a_bias_on_the_text_is_a_true_repetition_of_it(
    network: SD3Transformer2DModel, copies: int, dtype: torch.dtype, tolerance: float
) -> None:
    try:
        network.to(dtype)
        text = random(2, 18, 48, dtype=dtype)
        repeated = velocity(network, text.repeat(1, copies, 1))
        biased = velocity(network, text, Tuning(copies=copies))
        assert (repeated - biased).abs().max() < tolerance
        assert (repeated - velocity(network, text)).abs().max() > 100 * tolerance
    finally:
        network.to(torch.float32)


@pytest.mark.parametrize("scale", [1.1, 2.0])
@torch.inference_mode()
def test_copies_count_after_the_scale_of_the_logits(network: SD3Transformer2DModel, scale: float) -> None:
    text = random(2, 18, 48, dtype=torch.float32)
    repeated = velocity(network, text.repeat(1, 4, 1), Tuning(scale=scale))
    biased = velocity(network, text, Tuning(scale=scale, copies=4))
    torch.testing.assert_close(repeated, biased, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("copies", [0.25, 1.0, 2.7])
@pytest.mark.parametrize("scale", [1.0, 1.3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 0.02)])
def test_attention_is_the_softmax_of_scaled_logits_with_log_n_on_the_text(
    copies: float, scale: float, dtype: torch.dtype, tolerance: float
) -> None:
    """Any real n above 0; half precision keeps the number in two parts and so does not round it."""
    q, k, v = (random(2, 9, 3, 8, seed=seed).to(dtype) for seed in (1, 2, 3))
    found = attend(q, k, v, 4, Tuning(scale, copies)).double()
    wide = [x.double().transpose(1, 2) for x in (q, k, v)]
    logits = scale * wide[0] @ wide[1].transpose(-1, -2) / math.sqrt(8)
    logits[..., -4:] += math.log(copies)
    expected = (logits.softmax(-1) @ wide[2]).transpose(1, 2).flatten(2)
    assert (found - expected).abs().max() < tolerance


@torch.inference_mode()
def test_neutral_settings_are_the_stock_network_to_the_last_bit(network: SD3Transformer2DModel) -> None:
    x, at = random(2, 16, 16, 12, dtype=torch.float32), At(0.4, 2, 5)
    neutral = asked(network, NEUTRAL, x, at)
    native = asked(network, replace(NEUTRAL, native=(16, 12)), x, at)
    assert torch.equal(neutral, native)
    text = random(2, 18, 48, dtype=torch.float32)
    assert torch.equal(velocity(network, text), velocity(network, text, Tuning(1.0, 1.0)))


@pytest.mark.parametrize("positions", POSITIONS)
@torch.inference_mode()
def test_at_the_native_size_every_policy_is_the_stock_one(
    network: SD3Transformer2DModel, positions: str
) -> None:
    x, at = random(1, 16, 16, 16, dtype=torch.float32), At(0.4, 2, 5)
    found = asked(network, Toolkit(positions, native=(16, 16)), x, at)
    torch.testing.assert_close(found, asked(network, NEUTRAL, x, at), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("size", [(16, 16), (48, 48), (40, 24)])
@torch.inference_mode()
def test_a_policy_serves_sizes_beyond_the_table_or_is_the_tables_own(
    network: SD3Transformer2DModel, positions: str, size: tuple[int, int]
) -> None:
    """The table of the random checkpoints has 16 entries a side, a latent of 32."""
    x = random(1, 16, *size, dtype=torch.float32)
    toolkit = Toolkit(positions, native=NATIVE)
    if positions == "extend" and max(size) > 32:
        with pytest.raises(ValueError, match="pos_embed_max_size"):
            asked(network, toolkit, x, At(0.5, 0, 1))
        return
    found = asked(network, toolkit, x, At(0.5, 0, 1))
    assert found.shape == x.shape
    assert torch.isfinite(found).all()


@torch.inference_mode()
def test_patches_moved_by_half_are_those_of_the_padded_picture(network: SD3Transformer2DModel) -> None:
    """Pad by a latent pixel with the edge, ask, cut off the border again: positions half a patch before."""
    x = random(1, 16, 8, 8, dtype=torch.float32)
    toolkit = Toolkit("extend", native=(8, 8), half_patch=True)
    still, moved = At(0.5, 4, 5), At(0.5, 3, 5)
    assert torch.equal(asked(network, toolkit, x, still), asked(network, NEUTRAL, x, still))
    found = asked(network, toolkit, x, moved)
    assert found.shape == x.shape
    assert not torch.allclose(found, asked(network, NEUTRAL, x, moved), atol=1e-3)

    # The network itself on the padded picture, its positions shifted by hand: at j - 1/2 between entries.
    padded = pad(x, (1, 1, 1, 1), mode="replicate")
    table = network.pos_embed.pos_embed.double().reshape(16, 16, -1)
    half = table.shape[-1] // 2
    row, column = _halfway(table[:, 0, half:]), _halfway(table[0, :, :half])
    start = (16 - 4) // 2 - 1  # entry whose middle with the next is half a patch before the first
    rows, columns = row[start : start + 5], column[start : start + 5]
    grid = torch.cat((columns.expand(5, -1, -1), rows[:, None].expand(-1, 5, -1)), dim=-1)
    texts = random(1, 18, 48, dtype=torch.float32), random(1, 24, dtype=torch.float32)
    modulation = modulations(network, (0.5,), texts[1])[0]
    positions = grid.reshape(1, 25, -1).float()
    by_hand = forward(lay_out(network), padded, network.context_embedder(texts[0]), positions, modulation)
    torch.testing.assert_close(found, by_hand[..., 1:-1, 1:-1], rtol=1e-5, atol=1e-5)


def _halfway(entries: Tensor) -> Tensor:
    """Between each entry and the next: sines and cosines of the mean angle, (T - 1, 2 K)."""
    sines, cosines = entries.chunk(2, dim=1)
    middle = torch.complex(cosines[:-1] + cosines[1:], sines[:-1] + sines[1:])
    middle = middle / middle.abs()
    return torch.cat((middle.imag, middle.real), dim=1)
