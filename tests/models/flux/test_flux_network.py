"""FLUX.1's network call: positions, attention and embedding by plain readings of the formulas."""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor

from sd3demo.catalogue import read_folder
from sd3demo.engine.run.offload import place
from sd3demo.flow.extrapolation.tuning import POSITIONS, Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.flux.adapter import Flux
from sd3demo.models.protocol import Dials
from tests.models.inputs import inputs

Checkpoint = Callable[..., Path]

NATIVE = (8, 8)
TEXTS = ("a red circle", "a blue square")
AT = At(0.9, 0, 4)


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def model(checkpoint: Checkpoint) -> Flux:
    """A new one each time: processors and hooks stay on a network."""
    return cast(Flux, load(read_folder(checkpoint("flux-dev")), torch.float32))


def latent(rows: int, columns: int, count: int = 1) -> Tensor:
    return torch.randn((count, 16, rows, columns), generator=torch.Generator().manual_seed(5))


def asked(model: Flux, x: Tensor, toolkit: Toolkit, at: At = AT, guidance: float = 3.5) -> Tensor:
    texts = [model.encode(inputs(model.spec, text)) for text in TEXTS]
    rows = model.network(texts, Dials((at.t,), toolkit, guidance=guidance))
    return rows(x, [at] * len(x), [0, 1][: len(x)])


def stock(
    model: Flux,
    x: Tensor,
    *,
    t: float = AT.t,
    ids: Tensor | None = None,
    copies: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """diffusers' own forward for the first text; `copies` are (n, 3) positions of copies of it."""
    network = model.transformer
    told = model.encode(inputs(model.spec, TEXTS[0]))
    batch, _, height, width = x.shape
    corners = torch.zeros(1, 3) if copies is None else copies
    plain = FluxPipeline._prepare_latent_image_ids(batch, height // 2, width // 2, "cpu", torch.float32)
    found = network(
        hidden_states=FluxPipeline._pack_latents(x, *x.shape),
        timestep=torch.full((batch,), t),
        guidance=torch.full((batch,), 3.5),
        encoder_hidden_states=told.tokens.repeat(1, len(corners), 1),
        pooled_projections=told.pooled,
        img_ids=plain if ids is None else ids,
        txt_ids=corners.repeat_interleave(told.length, dim=0),
        joint_attention_kwargs=None if mask is None else {"attention_mask": mask},
        return_dict=False,
    )[0]
    return FluxPipeline._unpack_latents(found, 8 * height, 8 * width, 8)


@pytest.mark.parametrize("policy", POSITIONS)
@pytest.mark.parametrize("size", [(8, 8), (12, 6)], ids=["square", "tall"])
def test_at_the_native_size_every_policy_is_stock_to_the_last_bit(
    model: Flux, policy: str, size: tuple[int, int]
) -> None:
    x = latent(*size)
    expected = stock(model, x)
    found = asked(model, x, Toolkit(positions=policy, native=size, ntk=2.5))
    assert torch.equal(found, expected)


def test_extended_positions_are_stocks_at_any_size(model: Flux) -> None:
    x = latent(24, 16)
    assert torch.equal(asked(model, x, Toolkit(native=NATIVE)), stock(model, x))


def test_interpolated_positions_are_stock_at_shares_of_a_patch(model: Flux) -> None:
    x = latent(16, 16)
    ids = FluxPipeline._prepare_latent_image_ids(1, 8, 8, "cpu", torch.float32) / 2
    found = asked(model, x, Toolkit(positions="interpolate", native=NATIVE))
    torch.testing.assert_close(found, stock(model, x, ids=ids), rtol=0, atol=1e-5)
    assert (found - stock(model, x)).abs().max() > 1e-3


@pytest.mark.parametrize(("ntk", "theta"), [(1.0, 20_000), (1.05, 21_000)])
def test_per_frequency_positions_are_stock_with_another_base(model: Flux, ntk: float, theta: int) -> None:
    """The channels are few here: a base that is wider by more would meet its floor."""
    x = latent(16, 16)
    found = asked(model, x, Toolkit(positions="per-frequency", native=NATIVE, ntk=ntk))
    cast(Any, model.transformer.pos_embed).theta = theta
    torch.testing.assert_close(found, stock(model, x), rtol=0, atol=1e-5)


def test_rows_at_two_times_have_the_positions_of_each(model: Flux) -> None:
    x = latent(16, 16, 2)
    toolkit = Toolkit(positions="scheduled", native=NATIVE, attention_scale=1.1)
    texts = [model.encode(inputs(model.spec, text)) for text in TEXTS]
    rows = model.network(texts, Dials(toolkit=toolkit))
    at = [At(0.9, 0, 4), At(0.2, 2, 4)]
    together = rows(x, at, [0, 1])
    for row in range(2):
        alone = rows(x[row : row + 1], at[row : row + 1], [row])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


def test_copies_at_the_texts_own_position_are_a_bias(model: Flux) -> None:
    x = latent(16, 16)
    expected = stock(model, x, copies=torch.zeros(4, 3))
    found = asked(model, x, Toolkit(native=NATIVE, text_copies=4.0))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - stock(model, x)).abs().max() > 1e-3


def test_copies_on_a_grid_stand_at_the_corners_of_native_windows(model: Flux) -> None:
    x = latent(16, 24)  # 2 by 3 windows of 4 by 4 patches
    corners = torch.tensor([[0.0, 4 * i, 4 * j] for i, j in itertools.product(range(2), range(3))])
    found = asked(model, x, Toolkit(native=NATIVE, text_copies=6.0, copies_at="grid"))
    torch.testing.assert_close(found, stock(model, x, copies=corners), rtol=0, atol=1e-5)
    biased = asked(model, x, Toolkit(native=NATIVE, text_copies=6.0))
    assert (found - biased).abs().max() > 1e-4


def test_the_attention_scale_multiplies_every_logit(model: Flux) -> None:
    x = latent(16, 16)
    found = asked(model, x, Toolkit(native=NATIVE, attention_scale=1.3))
    for block in (*model.transformer.transformer_blocks, *model.transformer.single_transformer_blocks):
        for name in ("norm_q", "norm_added_q"):
            if hasattr(block.attn, name):
                getattr(block.attn, name).weight.mul_(1.3)
    torch.testing.assert_close(found, stock(model, x), rtol=0, atol=1e-5)


def test_the_half_patch_shift_pads_by_one_and_starts_at_minus_one_half(model: Flux) -> None:
    x = latent(8, 8)
    toolkit = Toolkit(native=NATIVE, half_patch=True)
    plain, shifted = At(0.5, 3, 4), At(0.5, 2, 4)
    assert (toolkit.shifted(plain), toolkit.shifted(shifted)) == (False, True)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    ids = FluxPipeline._prepare_latent_image_ids(1, 5, 5, "cpu", torch.float32)
    ids[:, 1:] -= 0.5
    expected = stock(model, padded, t=0.5, ids=ids)[..., 1:-1, 1:-1]
    torch.testing.assert_close(asked(model, x, toolkit, shifted), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(asked(model, x, toolkit, plain), stock(model, x, t=0.5), rtol=0, atol=1e-5)


def test_time_and_guidance_are_not_rounded_in_half_precision(checkpoint: Checkpoint) -> None:
    half = cast(Flux, load(read_folder(checkpoint("flux-dev")), torch.bfloat16))
    seen: list[Tensor] = []
    embedding = cast(Any, half.transformer.time_text_embed)
    embedding.time_proj.register_forward_hook(lambda module, given, found: seen.append(given[0]))
    asked(half, latent(8, 8), Toolkit(native=NATIVE), At(0.123456, 0, 4))
    assert [float(each) for each in seen] == pytest.approx([123.456, 3500.0], rel=1e-6)


def test_rows_beyond_256_are_told_apart_in_half_precision(checkpoint: Checkpoint) -> None:
    half = cast(Flux, load(read_folder(checkpoint("flux-dev")), torch.bfloat16))
    seen: list[tuple[Tensor, Tensor]] = []
    embedding = cast(Any, half.transformer.pos_embed)
    x = torch.zeros(1, 16, 2 * 300, 2)
    network = half.network([half.encode(inputs(half.spec, TEXTS[0]))], Dials())
    hook = half.transformer.transformer_blocks[0].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["image_rotary_emb"]), with_kwargs=True
    )
    network(x, [AT], [0])
    hook.remove()
    cos, sin = seen[0]
    angles = torch.atan2(sin[-2:], cos[-2:])[:, 4]  # of the last two rows, at their highest frequency
    step = (float(angles[1] - angles[0])) % (2 * math.pi)
    assert step == pytest.approx(1.0, abs=1e-4)
    assert not embedding._forward_hooks


@pytest.mark.parametrize(
    "toolkit",
    [
        Toolkit(native=NATIVE),
        Toolkit("per-frequency-2.5", NATIVE, 1.1, 4.0, half_patch=True, ntk=2.5),
        Toolkit("time-aware", NATIVE, 1.1, 4.0, copies_at="grid"),
    ],
    ids=["plain", "bias", "grid"],
)
def test_a_streamed_network_answers_as_a_resident_one(checkpoint: Checkpoint, toolkit: Toolkit) -> None:
    spec = read_folder(checkpoint("flux-dev"))
    x = latent(16, 16, 2)
    resident = asked(cast(Flux, load(spec, torch.float32)), x, toolkit)
    with torch.inference_mode(False):
        streamed = cast(Flux, load(spec, torch.float32))
        place(streamed, "streamed", torch.device("cpu"))
    torch.testing.assert_close(asked(streamed, x, toolkit), resident, rtol=0, atol=1e-5)


def test_a_lora_acts_whether_or_not_attention_is_tuned(model: Flux) -> None:
    peft = pytest.importorskip("peft")
    x = latent(16, 16)
    toolkits = (Toolkit(native=NATIVE), Toolkit(native=NATIVE, attention_scale=1.3))
    before = [asked(model, x, toolkit) for toolkit in toolkits]
    with torch.inference_mode(False):
        config = peft.LoraConfig(r=2, target_modules=["to_q", "to_k"], init_lora_weights=False)
        model.transformer.add_adapter(config)
    after = [asked(model, x, toolkit) for toolkit in toolkits]
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() > 1e-4
    assert isinstance(model.transformer, FluxTransformer2DModel)


def test_a_scale_for_a_network_that_reads_none_is_an_error(checkpoint: Checkpoint) -> None:
    schnell = load(read_folder(checkpoint("flux-schnell")), torch.float32)
    text = schnell.encode(inputs(schnell.spec, TEXTS[0]))
    with pytest.raises(ValueError, match=r"guidance is 3\.5; .* reads none"):
        schnell.network([text], Dials(guidance=3.5))
    with pytest.raises(ValueError, match="leaves out no layers"):
        schnell.network([text], Dials(skip_layers=(1,)))(latent(8, 8), [AT], [0], skip=True)
