"""The attention that is shown is the one that the stock modules compute, in every kind of checkpoint."""

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from sd3demo.models.sd3 import attention_maps as attention
from sd3demo.models.sd3.attention_maps import of_network, shares, text_weights
from sd3demo.models.sd3.modulation import TIME_SCALE, modulations
from sd3demo.models.sd3.streamed import attention as streamed_attention
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import lay_out, positions_of
from tests.checkpoints import KINDS, pipeline

TEXT, T = 18, 0.4


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest) -> SD3Transformer2DModel:
    found: SD3Transformer2DModel = pipeline(KINDS[request.param]).transformer
    return found.requires_grad_(False)


def inputs(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    shapes = ((batch, 16, 16, 12), (1, TEXT, 48), (1, 24))
    latent, text, pooled = (torch.randn(shape, generator=random) for shape in shapes)
    return latent, text, pooled


def plainly(network: SD3Transformer2DModel, latent: Tensor, text: Tensor, pooled: Tensor) -> list[Tensor]:
    """softmax(Q K^T / sqrt d) of each block's joint attention, (B, heads, N, M) on the text, by diffusers.

    Hooks read what the stock forward gives to each block's attention, and its own layers make Q and K of it.
    """
    found: list[Tensor] = []

    def watch(module, args, kwargs):
        q, k = module.to_q(kwargs["hidden_states"]), module.to_k(kwargs["hidden_states"])
        k_text = module.add_k_proj(kwargs["encoder_hidden_states"])
        q, k, k_text = (x.unflatten(-1, (module.heads, -1)).transpose(1, 2) for x in (q, k, k_text))
        if module.norm_q is not None:
            q, k, k_text = module.norm_q(q), module.norm_k(k), module.norm_added_k(k_text)
        keys = torch.cat((k, k_text), dim=2)
        weights = (q @ keys.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        found.append(weights[..., k.shape[2] :])

    hooks = [
        block.attn.register_forward_pre_hook(watch, with_kwargs=True) for block in network.transformer_blocks
    ]
    time = torch.full((len(latent),), T * TIME_SCALE)
    network(latent, text.expand(len(latent), -1, -1), pooled.expand(len(latent), -1), time, return_dict=False)
    for hook in hooks:
        hook.remove()
    return found


def ours(network: SD3Transformer2DModel, groups: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
    latent, text, pooled = inputs()
    told = SD3Text(text, pooled)
    return list(of_network(network, lay_out(network), latent, T, told, groups=groups, blocks=blocks))


@pytest.mark.parity
@pytest.mark.parametrize("chunk", [1, 5000, attention.CHUNK])
@torch.inference_mode()
def test_the_weights_are_those_of_a_plain_softmax_in_the_stock_modules(
    network: SD3Transformer2DModel, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "CHUNK", chunk)
    blocks = tuple(range(len(network.transformer_blocks)))
    stock = plainly(network, *inputs())
    assert len(stock) == len(blocks)
    for found, expected in zip(ours(network, torch.eye(TEXT), blocks), stock, strict=True):
        torch.testing.assert_close(found, expected.mean(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("blocks", [(1,), (0, 2)])
@torch.inference_mode()
def test_a_network_that_is_called_as_modules_has_the_same_weights(
    network: SD3Transformer2DModel, blocks: tuple[int, ...]
) -> None:
    latent, text, pooled = inputs()
    groups = torch.eye(TEXT)[:, :5]
    told = SD3Text(text, pooled)
    streamed = list(streamed_attention(network, latent, T, told, groups=groups, blocks=blocks))
    for found, expected in zip(streamed, ours(network, groups, blocks), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_a_word_of_several_tokens_has_the_sum_of_their_weights(network: SD3Transformer2DModel) -> None:
    groups = torch.zeros(TEXT, 3)
    groups[:4, 0], groups[4:5, 1], groups[5:, 2] = 1, 1, 1
    (together,) = ours(network, groups, (1,))
    (alone,) = ours(network, torch.eye(TEXT), (1,))
    torch.testing.assert_close(together, alone @ groups)
    assert bool((together.sum(-1) < 1).all())


@torch.inference_mode()
def test_blocks_that_are_not_asked_for_change_nothing(network: SD3Transformer2DModel) -> None:
    every = ours(network, torch.eye(TEXT), (0, 1, 2))
    chosen = ours(network, torch.eye(TEXT), (0, 2))
    for one, other in zip(chosen, (every[0], every[2]), strict=True):
        torch.testing.assert_close(one, other)


@torch.inference_mode()
def test_equal_keys_share_the_attention_equally() -> None:
    query, key = torch.randn(1, 6, 2, 8), torch.ones(1, 10, 2, 8)
    torch.testing.assert_close(shares(query, key, torch.eye(4)), torch.full((1, 6, 4), 0.1))


@torch.inference_mode()
def test_the_state_and_the_time_change_what_is_attended_to(network: SD3Transformer2DModel) -> None:
    latent, text, pooled = inputs()
    layers, positions = lay_out(network), positions_of(network, 16, 12)
    found = []
    for t in (0.9, 0.1):
        (modulation,) = modulations(network, (t,), pooled.expand(2, -1))
        context = network.context_embedder(text).expand(2, -1, -1)
        found.append(
            next(
                text_weights(
                    layers, latent, context, positions, modulation, groups=torch.eye(TEXT), blocks=(0,)
                )
            )
        )
    assert not torch.allclose(*found)
    assert not torch.allclose(found[0][0], found[0][1])
