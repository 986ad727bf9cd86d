"""The forward written for sampling is the stock one, block by block and as a whole."""

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from sd3demo.models.linear import PackedLinear, PlainLinear, can_pack, joined
from sd3demo.models.sd3 import transformer
from sd3demo.models.sd3.modulation import TIME_SCALE, Modulation, modulations, taken
from sd3demo.models.sd3.transformer import forward, lay_out, positions_of, unpatchify
from tests.checkpoints import BENCHMARK, KINDS, pipeline

EVERY = KINDS | {"embedded": BENCHMARK}
TIMES = (1.0, 0.73, 0.2, 0.001)


@pytest.fixture(scope="module", params=EVERY)
def network(request: pytest.FixtureRequest) -> SD3Transformer2DModel:
    found: SD3Transformer2DModel = pipeline(EVERY[request.param]).transformer
    return found.requires_grad_(False)


def inputs(batch: int = 2, height: int = 16, width: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """A latent, text tokens and pooled text, of the checkpoints' shapes."""
    random = torch.Generator().manual_seed(1)
    shapes = ((batch, 16, height, width), (batch, 18, 48), (batch, 24))
    latent, text, pooled = (torch.randn(shape, generator=random) for shape in shapes)
    return latent, text, pooled


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "plain"])
@torch.inference_mode()
def test_the_velocity_is_the_stock_forwards(
    network: SD3Transformer2DModel, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if packs and not can_pack(network):
        pytest.skip("this processor has no packed layers")
    monkeypatch.setattr(transformer, "can_pack", lambda network: packs)
    latent, text, pooled = inputs()
    layers, positions = lay_out(network), positions_of(network, *latent.shape[-2:])
    for t, modulation in zip(TIMES, modulations(network, TIMES, pooled), strict=True):
        ours = forward(layers, latent, network.context_embedder(text), positions, modulation)
        time = torch.full((2,), t * TIME_SCALE)
        stock = network(latent, text, pooled, time, return_dict=False)[0]
        assert (ours - stock).abs().max() < 1e-5


@torch.inference_mode()
def test_the_modulations_of_many_times_are_those_of_each_alone(network: SD3Transformer2DModel) -> None:
    pooled = inputs()[2]
    together = modulations(network, TIMES, pooled)
    for t, modulation in zip(TIMES, together, strict=True):
        alone = modulations(network, (t,), pooled)[0]
        for one, other in zip(rows(modulation), rows(alone), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("skip", [(0,), (1, 2), (2,)])
@torch.inference_mode()
def test_blocks_that_are_skipped_are_those_that_the_stock_forward_skips(
    network: SD3Transformer2DModel, skip: tuple[int, ...]
) -> None:
    """The last one too, which has no text to pass on."""
    latent, text, pooled = inputs()
    layers, positions = lay_out(network), positions_of(network, *latent.shape[-2:])
    (modulation,) = modulations(network, (0.3,), pooled)
    ours = forward(layers, latent, network.context_embedder(text), positions, modulation, skip=skip)
    time = torch.full((2,), 0.3 * TIME_SCALE)
    stock = network(latent, text, pooled, time, skip_layers=list(skip), return_dict=False)[0]
    whole = network(latent, text, pooled, time, return_dict=False)[0]
    assert (ours - stock).abs().max() < 1e-5
    assert (stock - whole).abs().max() > 1e-3


@torch.inference_mode()
def test_rows_that_are_taken_from_a_modulation_are_its_own(network: SD3Transformer2DModel) -> None:
    (modulation,) = modulations(network, (0.5,), inputs(batch=3)[2])
    assert taken(modulation, [0, 1, 2]) is modulation
    for chosen in ([2, 0, 0, 1], [2, 0, 1]):
        for whole, some in zip(rows(modulation), rows(taken(modulation, chosen)), strict=True):
            assert torch.equal(some, whole[chosen])


@torch.inference_mode()
def test_rows_of_a_batch_do_not_mix(network: SD3Transformer2DModel) -> None:
    latent, text, pooled = inputs(batch=3)
    layers, positions = lay_out(network), positions_of(network, *latent.shape[-2:])

    def velocity(chosen: slice) -> Tensor:
        modulation = modulations(network, (0.5,), pooled[chosen])[0]
        return forward(layers, latent[chosen], network.context_embedder(text[chosen]), positions, modulation)

    torch.testing.assert_close(velocity(slice(0, 3))[1:2], velocity(slice(1, 2)), rtol=1e-4, atol=1e-5)


def test_unpatchify_puts_every_number_where_the_stock_model_puts_it() -> None:
    tokens = torch.arange(2 * 6 * 4 * 3, dtype=torch.float32).view(
        2, 6, 12
    )  # 2 x 3 patches of 2 x 2, 3 channels
    latent = unpatchify(tokens, torch.Size((2, 3, 4, 6)), patch=2)
    expected = torch.einsum("nhwpqc->nchpwq", tokens.view(2, 2, 3, 2, 2, 3)).reshape(2, 3, 4, 6)
    assert torch.equal(latent, expected)


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("pack", [False, True])
@torch.inference_mode()
def test_layers_of_one_input_are_one_layer(activated: bool, pack: bool) -> None:
    layers = (nn.Linear(24, 16), nn.Linear(24, 16), nn.Linear(24, 16))
    if pack and not can_pack(nn.Sequential(*layers)):
        pytest.skip("this processor has no packed layers")
    x = torch.randn(2, 5, 48)[..., ::2]  # not contiguous
    found = joined(layers, pack=pack, activated=activated)
    assert [type(layer) for layer in found] == ([PackedLinear] if pack else [PlainLinear] * 3)
    expected = torch.cat([linear(x, layer.weight, layer.bias) for layer in layers], dim=-1)
    expected = gelu(expected, approximate="tanh") if activated else expected
    torch.testing.assert_close(
        torch.cat([layer(x) for layer in found], dim=-1), expected, rtol=1e-5, atol=1e-5
    )


def rows(modulation: Modulation) -> list[Tensor]:
    blocks = [row for block in modulation.blocks for row in (*block.image, *block.text)]
    return [*blocks, *modulation.out]
