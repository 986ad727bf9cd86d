"""SPA on every family: a plain reading of HRDiT's formula, nothing at the native size, and what it costs."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb, get_2d_rotary_pos_embed_lumina
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sd3demo.flow.extrapolation.tuning import POSITIONS, Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.protocol import Dials, FlowModel
from sd3demo.models.sd3 import transformer
from tests.models.inputs import inputs
from tests.models.test_contract import CASES, TEXT

FAMILIES = ("sd3", "flux", "lumina-next", "lumina2")
PATCH, NATIVE, LARGE = 2, (6, 6), (16, 12)  # patches: bundles of 3 down and 2 across
FIRST = ((3, 2), (1, 2), (2, 2), (3, 1))
"""The bundlings of LARGE: how many patches the first bundle holds, down and across."""
T = 0.9

Checkpoint = Callable[..., Path]


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(family: str, checkpoint: Checkpoint) -> FlowModel:
    return load(CASES[family].spec(checkpoint), torch.float32)


def latent(model: FlowModel, patches: tuple[int, int]) -> Tensor:
    shape = (1, model.spec.latent.channels, PATCH * patches[0], PATCH * patches[1])
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def asked(
    model: FlowModel, x: Tensor, *, steps: int = 3, index: int = 0, positions: str = "extend", **kept: Any
) -> Tensor:
    native = (PATCH * NATIVE[0], PATCH * NATIVE[1])
    toolkit = Toolkit(positions=positions, native=native, aligned_steps=steps, **kept)
    rows = model.network([model.encode(inputs(model.spec, TEXT))], Dials((T,), toolkit))
    return rows(x, [At(T, index, 8)] * len(x), [0] * len(x))


def places(count: int, first: int, size: int) -> Tensor:
    """phi_n(p) of all p, as the paper has it."""
    found = [0 if p < first else math.ceil((p + 1 - first) / size) for p in range(count)]
    return torch.tensor(found)


def bundled() -> list[tuple[Tensor, Tensor]]:
    """Rows and columns of LARGE under each bundling."""
    return [(places(LARGE[0], down, 3), places(LARGE[1], across, 2)) for down, across in FIRST]


class Dense:
    """FLUX.1's attention with its weights written out, the mean of the maps under each rotary embedding."""

    def __init__(self, rotaries: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.rotaries = rotaries

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: object = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        def heads(x: Tensor, names: Sequence[str], norms: Sequence[str]) -> list[Tensor]:
            q, k, v = (getattr(attn, name)(x).unflatten(-1, (attn.heads, -1)) for name in names)
            return [getattr(attn, norms[0])(q), getattr(attn, norms[1])(k), v]

        found = heads(hidden_states, ("to_q", "to_k", "to_v"), ("norm_q", "norm_k"))
        if encoder_hidden_states is not None:
            names = ("add_q_proj", "add_k_proj", "add_v_proj")
            text = heads(encoder_hidden_states, names, ("norm_added_q", "norm_added_k"))
            found = [torch.cat(pair, dim=1) for pair in zip(text, found, strict=True)]
        q, k, v = found
        maps = []
        for rotary in self.rotaries:
            turned = [apply_rotary_emb(each, rotary, sequence_dim=1) for each in (q, k)]
            logits = torch.einsum("bqhd,bkhd->bhqk", *turned) / math.sqrt(q.shape[-1])
            maps.append(logits.softmax(-1))
        mixed = torch.einsum("bhqk,bkhd->bqhd", torch.stack(maps).mean(0), v).flatten(2)
        if encoder_hidden_states is None:
            return mixed
        count = encoder_hidden_states.shape[1]
        return attn.to_out[0](mixed[:, count:]), attn.to_add_out(mixed[:, :count])


class Mean:
    """What a processor of diffusers gives, the mean over rotary embeddings."""

    def __init__(self, own: Callable[..., Tensor], rotaries: Sequence[Tensor]) -> None:
        self.own, self.rotaries = own, rotaries

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        query_rotary_emb: Tensor | None = None,
        key_rotary_emb: Tensor | None = None,
        image_rotary_emb: Tensor | None = None,
    ) -> Tensor:
        given = {"query_rotary_emb": query_rotary_emb, "key_rotary_emb": key_rotary_emb}
        given = {"image_rotary_emb": image_rotary_emb} if image_rotary_emb is not None else given
        found = []
        for rotary in self.rotaries:
            turned = {name: None if value is None else rotary for name, value in given.items()}
            found.append(self.own(attn, hidden_states, encoder_hidden_states, attention_mask, **turned))
        return torch.stack(found).mean(0)


def plain_flux(model: FlowModel, x: Tensor) -> Tensor:
    network, length = cast(Any, model.parts["flow"]), model.encode(inputs(model.spec, TEXT)).length
    rotaries = []
    for rows, columns in bundled():
        ids = torch.zeros(*LARGE, 3)
        ids[..., 1], ids[..., 2] = rows[:, None], columns
        rotaries.append(network.pos_embed(torch.cat((torch.zeros(length, 3), ids.flatten(0, 1)))))
    network.set_attn_processor(Dense(rotaries))
    return CASES["flux"].reference(model, x, T, TEXT)


def plain_sd3(model: FlowModel, x: Tensor) -> Tensor:
    """The mean of whole calls, each with the table's entries of its bundles, from the native crop on."""
    embed = cast(Any, model.parts["flow"]).pos_embed
    side = embed.pos_embed_max_size
    table = embed.pos_embed.reshape(side, side, -1)
    found = []
    for rows, columns in bundled():
        start = (side - NATIVE[0]) // 2
        entries = table[start + rows][:, start + columns].flatten(0, 1)[None]
        embed.cropped_pos_embed = lambda height, width, entries=entries: entries
        found.append(CASES["sd3"].reference(model, x, T, TEXT))
    return torch.stack(found).mean(0)


def plain_lumina_next(model: FlowModel, x: Tensor) -> Tensor:
    network = cast(Any, model.parts["flow"])
    table = get_2d_rotary_pos_embed_lumina(network.head_dim, 384, 384)
    rotaries = [table[rows][:, columns].flatten(0, 1)[None] for rows, columns in bundled()]
    for layer in network.layers:
        for attention in (layer.attn1, layer.attn2):
            attention.processor = Mean(attention.processor, rotaries)
    return CASES["lumina-next"].reference(model, x, T, TEXT)


def plain_lumina2(model: FlowModel, x: Tensor) -> Tensor:
    network, words = cast(Any, model.parts["flow"]), cast(Any, model.encode(inputs(model.spec, TEXT))).words
    rotaries = []
    for rows, columns in bundled():
        image = torch.zeros(*LARGE, 3, dtype=torch.int32)
        image[..., 0], image[..., 1], image[..., 2] = words, rows[:, None], columns
        text = torch.zeros(words, 3, dtype=torch.int32)
        text[:, 0] = torch.arange(words)
        rotaries.append(network.rope_embedder._get_freqs_cis(torch.cat((text, image.flatten(0, 1)))[None]))
    for layer in network.layers:
        layer.attn.processor = Mean(layer.attn.processor, rotaries)
    for layer in network.noise_refiner:
        layer.attn.processor = Mean(layer.attn.processor, [each[:, words:] for each in rotaries])
    return CASES["lumina2"].reference(model, x, T, TEXT)


PLAIN = {
    "sd3": plain_sd3,
    "flux": plain_flux,
    "lumina-next": plain_lumina_next,
    "lumina2": plain_lumina2,
}


def test_the_averaged_call_is_a_plain_reading_of_the_formula(family: str, model: FlowModel) -> None:
    x = latent(model, LARGE)
    found, without = asked(model, x), asked(model, x, steps=0)
    torch.testing.assert_close(found, PLAIN[family](model, x), rtol=0, atol=1e-5)
    assert (found - without).abs().max() > 1e-3


@pytest.mark.parametrize("positions", POSITIONS)
def test_at_the_native_size_one_bundling_is_the_full_attention_to_the_last_bit(
    model: FlowModel, positions: str
) -> None:
    x = latent(model, NATIVE)
    for kept in ({}, {"half_patch": True}):
        expected = asked(model, x, steps=0, positions=positions, **kept)
        assert torch.equal(asked(model, x, positions=positions, **kept), expected)


def test_after_its_steps_the_call_is_the_direct_one_to_the_last_bit(model: FlowModel) -> None:
    x = latent(model, LARGE)
    for index in (3, 7):
        direct = asked(model, x, steps=0, index=index, positions="interpolate")
        assert torch.equal(asked(model, x, index=index, positions="interpolate"), direct)
    assert not torch.equal(asked(model, x, index=2, positions="interpolate"), direct)


def test_patches_moved_by_half_a_patch_are_in_bundles_too(model: FlowModel) -> None:
    x = latent(model, LARGE)
    moved = asked(model, x, half_patch=True)
    assert torch.isfinite(moved).all()
    assert (moved - asked(model, x)).abs().max() > 1e-4


def test_averaging_and_a_scale_of_the_logits_go_together(family: str, model: FlowModel) -> None:
    x = latent(model, LARGE)
    scaled = asked(model, x, attention_scale=1.2)
    assert (scaled - asked(model, x)).abs().max() > 1e-4
    assert (scaled - asked(model, x, steps=0, attention_scale=1.2)).abs().max() > 1e-4


def test_rows_of_other_steps_do_not_go_into_one_call(model: FlowModel) -> None:
    toolkit = Toolkit(native=(12, 12), aligned_steps=1)
    rows = model.network([model.encode(inputs(model.spec, TEXT))], Dials((T,), toolkit))
    x = latent(model, LARGE).repeat(2, 1, 1, 1)
    with pytest.raises(ValueError, match="ask for them in two calls"):
        rows(x, [At(T, 0, 8), At(T, 1, 8)], [0, 0])


def test_further_bundlings_cost_what_torch_counts(model: FlowModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "can_pack", lambda network: False)  # packed products are not counted
    x = latent(model, LARGE)

    def counted(steps: int) -> int:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            asked(model, x, steps=steps)
        return counter.get_total_flops()

    text = cast(Any, model.encode(inputs(model.spec, TEXT)))
    words = getattr(text, "words", text.length)
    further = model.spec.network.alignment_flops(math.prod(LARGE), words)
    assert counted(3) - counted(0) == pytest.approx(3 * further, rel=0.05)
