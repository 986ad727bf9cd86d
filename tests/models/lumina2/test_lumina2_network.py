"""Lumina-Image 2.0's network call: positions and attention by plain readings of the formulas."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from diffusers.models.transformers import transformer_lumina2
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

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
    return cast(Lumina, load(read_folder(checkpoint("lumina2")), torch.float32))


def latent(rows: int, columns: int, count: int = 1) -> Tensor:
    return torch.randn((count, 16, rows, columns), generator=torch.Generator().manual_seed(5))


def asked(model: Lumina, x: Tensor, toolkit: Toolkit, at: At = AT) -> Tensor:
    texts = [model.encode(inputs(model.spec, text)) for text in TEXTS]
    rows = model.network(texts, Dials((at.t,), toolkit))
    return rows(x, [at] * len(x), [0, 1][: len(x)])


def stock(model: Lumina, x: Tensor, *, t: float = AT.t, scale: float = 1.0, start: float = 0.0) -> Tensor:
    """diffusers' own forward for the first text, in our sign and time; patches from `start`."""
    network = model.transformer
    told = model.encode(inputs(model.spec, TEXTS[0]))
    if (scale, start) != (1.0, 0.0):

        def turned(ids: Tensor) -> Tensor:
            where = ids.double()
            where[..., 1:] = (where[..., 1:] + start) / scale * (where[..., :1] == told.words)
            parts = [
                where[..., axis, None] / 10_000 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
                for axis, dim in enumerate(network.config.axes_dim_rope)
            ]
            angle = torch.cat(parts, dim=-1)
            return torch.polar(torch.ones_like(angle), angle)

        network.rope_embedder._get_freqs_cis = turned
    found = network(
        hidden_states=x,
        timestep=torch.full((len(x),), 1 - t),
        encoder_hidden_states=told.tokens[:, : told.words],
        encoder_attention_mask=torch.ones(1, told.words, dtype=torch.bool),
        return_dict=False,
    )[0]
    network.rope_embedder.__dict__.pop("_get_freqs_cis", None)
    return -found


@pytest.mark.parametrize("policy", POSITIONS)
@pytest.mark.parametrize("size", [(8, 8), (12, 6)], ids=["square", "tall"])
def test_at_the_native_size_every_policy_is_stock_to_the_last_bit(
    model: Lumina, policy: str, size: tuple[int, int]
) -> None:
    x = latent(*size)
    assert torch.equal(asked(model, x, Toolkit(positions=policy, native=size, ntk=2.5)), stock(model, x))


def test_extended_positions_are_stocks_at_any_size(model: Lumina) -> None:
    x = latent(24, 16)
    assert torch.equal(asked(model, x, Toolkit(native=NATIVE)), stock(model, x))


@pytest.mark.parametrize(("policy", "at"), [("interpolate", AT), ("time-aware", AT)])
def test_interpolated_positions_are_stock_at_shares_of_a_patch(model: Lumina, policy: str, at: At) -> None:
    x = latent(16, 16)
    found = asked(model, x, Toolkit(positions=policy, native=NATIVE), at)
    torch.testing.assert_close(found, stock(model, x, scale=2.0), rtol=0, atol=1e-5)
    assert (found - stock(model, x)).abs().max() > 1e-3


@pytest.mark.parametrize("policy", ["per-frequency", "time-aware"])
def test_per_frequency_positions_are_stock_with_the_base_times_the_scale(model: Lumina, policy: str) -> None:
    """On the axes of the picture; the text's is as it was."""
    x = latent(16, 16)
    found = asked(model, x, Toolkit(positions=policy, native=NATIVE), LATE)
    before = stock(model, x, t=LATE.t)
    embedder = model.transformer.rope_embedder
    embedder.theta = 20_000
    wider = embedder._precompute_freqs_cis(embedder.axes_dim, embedder.axes_lens, embedder.theta)
    embedder.freqs_cis = [embedder.freqs_cis[0], *wider[1:]]
    torch.testing.assert_close(found, stock(model, x, t=LATE.t), rtol=0, atol=1e-5)
    assert (found - before).abs().max() > 1e-4


def test_a_side_beyond_diffusers_table_is_served(model: Lumina) -> None:
    assert asked(model, latent(2 * 515, 2), Toolkit(native=NATIVE)).isfinite().all()


def test_the_half_patch_shift_pads_by_one_and_starts_at_minus_one_half(model: Lumina) -> None:
    x, toolkit = latent(8, 8), Toolkit(native=NATIVE, half_patch=True)
    plain, shifted = At(0.5, 3, 4), At(0.5, 2, 4)
    assert (toolkit.shifted(plain), toolkit.shifted(shifted)) == (False, True)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = stock(model, padded, t=0.5, start=-0.5)[..., 1:-1, 1:-1]
    torch.testing.assert_close(asked(model, x, toolkit, shifted), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(asked(model, x, toolkit, plain), stock(model, x, t=0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("scale", "copies"), [(1.3, 1.0), (1.0, 4.0), (1.1, 2.5)])
def test_the_tuning_of_attention_is_a_scale_and_a_mask_in_the_joint_blocks(
    model: Lumina, scale: float, copies: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = latent(16, 16)
    found = asked(model, x, Toolkit(native=NATIVE, attention_scale=scale, text_copies=copies))
    plain = stock(model, x)
    words = model.encode(inputs(model.spec, TEXTS[0])).words

    def tuned(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **given: float
    ) -> Tensor:
        if key.shape[-2] == words + 64:
            bias = torch.zeros(1, words + 64)
            bias[:, :words] = math.log(copies)
            return scaled_dot_product_attention(
                query, key, value, attn_mask=bias, scale=scale * given["scale"]
            )
        return scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, **given)

    monkeypatch.setattr(transformer_lumina2.F, "scaled_dot_product_attention", tuned)
    torch.testing.assert_close(found, stock(model, x), rtol=0, atol=1e-5)
    assert (found - plain).abs().max() > 1e-4


@pytest.mark.parametrize(
    "toolkit",
    [Toolkit(native=NATIVE), Toolkit("scheduled", NATIVE, attention_scale=1.2, text_copies=3.0)],
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
    spec = read_folder(checkpoint("lumina2"))
    toolkit = Toolkit("time-aware", NATIVE, 1.1, 4.0, half_patch=True)
    x = latent(16, 16, 2)
    resident = asked(cast(Lumina, load(spec, torch.float32)), x, toolkit)
    with torch.inference_mode(False):
        streamed = cast(Lumina, load(spec, torch.float32))
        place(streamed, "streamed", torch.device("cpu"))
    torch.testing.assert_close(asked(streamed, x, toolkit), resident, rtol=0, atol=1e-5)


def test_the_network_is_left_as_it_was(model: Lumina) -> None:
    before = [layer.attn.processor for layer in model.transformer.layers]
    asked(model, latent(16, 16), Toolkit("interpolate", NATIVE, 1.3))
    assert [layer.attn.processor for layer in model.transformer.layers] == before
    embedder = model.transformer.rope_embedder
    assert not embedder._forward_hooks
    assert not embedder._forward_pre_hooks


def test_skipped_layers_are_an_error(model: Lumina) -> None:
    text = model.encode(inputs(model.spec, TEXTS[0]))
    with pytest.raises(ValueError, match="leaves out no layers"):
        model.network([text], Dials(skip_layers=(1,)))(latent(8, 8), [AT], [0], skip=True)
