"""Lumina-Next's network call: positions and attention by diffusers' own functions, and what it is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed, get_2d_rotary_pos_embed_lumina
from torch import Tensor

from sd3demo.catalogue import read_folder
from sd3demo.engine.run.offload import place
from sd3demo.flow.extrapolation.tuning import POSITIONS, Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.lumina import Lumina
from sd3demo.models.protocol import Dials
from tests.models.inputs import inputs

Checkpoint = Callable[..., Path]

NATIVE = (8, 8)
TEXTS = ("a red circle", "a blue square above a red circle on a red square")
AT = At(0.9, 0, 4)
LATE = At(0.5, 2, 4)


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def model(checkpoint: Checkpoint) -> Lumina:
    """A new one each time: hooks stay on a network."""
    return cast(Lumina, load(read_folder(checkpoint("lumina-next")), torch.float32))


def latent(rows: int, columns: int, count: int = 1) -> Tensor:
    return torch.randn((count, 4, rows, columns), generator=torch.Generator().manual_seed(5))


def asked(model: Lumina, x: Tensor, toolkit: Toolkit, at: At = AT) -> Tensor:
    texts = [model.encode(inputs(model.spec, text)) for text in TEXTS]
    rows = model.network(texts, Dials((at.t,), toolkit))
    return rows(x, [at] * len(x), [0, 1][: len(x)])


def stock(
    model: Lumina, x: Tensor, *, t: float = AT.t, rotary: Tensor | None = None, **factors: float
) -> Tensor:
    """diffusers' own forward for the first text, in our sign and time."""
    network = model.transformer
    told = model.encode(inputs(model.spec, TEXTS[0]))
    if rotary is None:
        rotary = get_2d_rotary_pos_embed_lumina(network.head_dim, 384, 384, **factors)
    found = network(
        hidden_states=x,
        timestep=torch.full((len(x),), 1 - t),
        encoder_hidden_states=told.tokens[:, : told.words],
        encoder_mask=torch.ones(1, told.words),
        image_rotary_emb=rotary,
        cross_attention_kwargs={},
        return_dict=False,
    )[0]
    return -found[:, :4]


@pytest.mark.parametrize("policy", POSITIONS)
@pytest.mark.parametrize("size", [(8, 8), (12, 6)], ids=["square", "tall"])
def test_at_the_native_size_every_policy_is_stock_to_the_last_bit(
    model: Lumina, policy: str, size: tuple[int, int]
) -> None:
    x = latent(*size)
    assert torch.equal(asked(model, x, Toolkit(positions=policy, native=size, ntk=2.5)), stock(model, x))


@pytest.mark.parametrize(
    ("policy", "at", "factors"),
    [
        ("extend", AT, {}),
        ("interpolate", AT, {"linear_factor": 2.0}),
        ("per-frequency", AT, {"ntk_factor": 2.0}),
        ("time-aware", AT, {"linear_factor": 2.0}),
        ("time-aware", LATE, {"ntk_factor": 2.0}),
    ],
)
def test_each_policy_is_diffusers_factor(
    model: Lumina, policy: str, at: At, factors: dict[str, float]
) -> None:
    x = latent(16, 16)
    found = asked(model, x, Toolkit(positions=policy, native=NATIVE), at)
    torch.testing.assert_close(found, stock(model, x, t=at.t, **factors), rtol=0, atol=1e-5)
    if factors:
        assert (found - stock(model, x, t=at.t)).abs().max() > 1e-3


def test_a_side_beyond_diffusers_table_is_served(model: Lumina) -> None:
    assert asked(model, latent(2 * 390, 2), Toolkit(native=NATIVE)).isfinite().all()


def test_the_attention_scale_multiplies_the_logits_within_the_picture_alone(model: Lumina) -> None:
    x = latent(16, 16)
    found = asked(model, x, Toolkit(native=NATIVE, attention_scale=1.3))
    before = stock(model, x)
    for layer in model.transformer.layers:
        layer.attn1.norm_q.weight.mul_(1.3)
        layer.attn1.norm_q.bias.mul_(1.3)
    torch.testing.assert_close(found, stock(model, x), rtol=0, atol=1e-5)
    assert (found - before).abs().max() > 1e-4


def test_the_half_patch_shift_pads_by_one_and_starts_at_minus_one_half(model: Lumina) -> None:
    x, toolkit = latent(8, 8), Toolkit(native=NATIVE, half_patch=True)
    plain, shifted = At(0.5, 3, 4), At(0.5, 2, 4)
    assert (toolkit.shifted(plain), toolkit.shifted(shifted)) == (False, True)
    along = get_1d_rotary_pos_embed(model.transformer.head_dim // 2, (np.arange(5) - 0.5).astype(np.float32))
    pair = (along[:, None].expand(-1, 5, -1), along.expand(5, -1, -1))
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = stock(model, padded, t=0.5, rotary=torch.stack(pair, dim=-1).flatten(2))[..., 1:-1, 1:-1]
    torch.testing.assert_close(asked(model, x, toolkit, shifted), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(asked(model, x, toolkit, plain), stock(model, x, t=0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "toolkit",
    [Toolkit(native=NATIVE), Toolkit("scheduled", NATIVE, attention_scale=1.2)],
    ids=["plain", "tuned"],
)
def test_rows_of_unequal_texts_and_times_are_those_of_single_calls(model: Lumina, toolkit: Toolkit) -> None:
    texts = [model.encode(inputs(model.spec, text)) for text in TEXTS]
    assert texts[0].words != texts[1].words
    x, at = latent(16, 12, 2), [AT, LATE]
    rows = model.network(texts, Dials(toolkit=toolkit))
    together = rows(x, at, [0, 1])
    for row in range(2):
        alone = rows(x[row : row + 1], at[row : row + 1], [row])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


def test_more_padding_changes_nothing(model: Lumina) -> None:
    x = latent(8, 8)
    found = []
    for tokens in (16, 64):
        told = model.encode(inputs(model.spec, TEXTS[0], tokens={"gemma": tokens}))
        found.append(model.network([told], Dials())(x, [AT], [0]))
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def test_a_streamed_network_answers_as_a_resident_one(checkpoint: Checkpoint) -> None:
    spec = read_folder(checkpoint("lumina-next"))
    toolkit = Toolkit("time-aware", NATIVE, 1.1, half_patch=True)
    x = latent(16, 16, 2)
    resident = asked(cast(Lumina, load(spec, torch.float32)), x, toolkit)
    with torch.inference_mode(False):
        streamed = cast(Lumina, load(spec, torch.float32))
        place(streamed, "streamed", torch.device("cpu"))
    torch.testing.assert_close(asked(streamed, x, toolkit), resident, rtol=0, atol=1e-5)


def test_the_network_is_left_as_it_was(model: Lumina) -> None:
    before = [layer.attn1.processor for layer in model.transformer.layers]
    asked(model, latent(16, 16), Toolkit("interpolate", NATIVE, 1.3))
    assert [layer.attn1.processor for layer in model.transformer.layers] == before
    assert not model.transformer.patch_embedder._forward_hooks


def test_copies_of_the_text_and_skipped_layers_are_errors(model: Lumina) -> None:
    text = model.encode(inputs(model.spec, TEXTS[0]))
    with pytest.raises(ValueError, match="copies of every key cancel"):
        model.network([text], Dials(toolkit=Toolkit(native=NATIVE, text_copies=4.0)))
    with pytest.raises(ValueError, match="leaves out no layers"):
        model.network([text], Dials(skip_layers=(1,)))(latent(8, 8), [AT], [0], skip=True)
