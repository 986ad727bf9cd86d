"""FLUX.1's one network call, by diffusers' own forward, whose modules are called so that hooks run.

What that forward has no argument for, or would round to the network's dtype, is put in at two places. Time
and guidance reach their embedding in float32: in bfloat16 a guidance of 3.5 is read as 3504 thousandths. And
the rotary embedding is ours.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn.functional import pad

from sd3demo.flow.solvers import At
from sd3demo.models.attention_tuning import Tuning
from sd3demo.models.branches import check_rows
from sd3demo.models.context_parallel import ParallelConfig, own_share, parallel_of
from sd3demo.models.flux.attention import use_tuned_attention
from sd3demo.models.flux.modulation import TIME_SCALE, KnownModulations, is_evicted
from sd3demo.models.flux.positions import Rotary, RotaryCache
from sd3demo.models.flux.text_encoders import FluxText
from sd3demo.models.offloading import bring, works_on
from sd3demo.models.protocol import Dials, Rows

PATCH = 2


def network_call(
    network: FluxTransformer2DModel, texts: Sequence[FluxText], dials: Dials, guidance: float | None
) -> Rows:
    """The rows of a network under these texts; `guidance` is None where it has none embedded."""
    toolkit, half = dials.toolkit, PATCH // 2
    device, dtype = works_on(network), network.dtype
    tokens = [text.tokens.to(device, dtype) for text in texts]
    pooled = [text.pooled.to(device, dtype) for text in texts]
    positions = RotaryCache(tuple(network.config.axes_dims_rope), PATCH, toolkit)
    bias = toolkit.text_copies if toolkit.copies_at == "origin" else 1.0
    tuning = Tuning(toolkit.attention_scale, bias)
    parallel = parallel_of(network)
    if not toolkit.neutral:
        use_tuned_attention(network)
    known = None
    if is_evicted(network):
        bring(network)
        known = KnownModulations(
            network, dials.times, [each.to(works_on(network)) for each in pooled], guidance
        )

    def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
        if skip and dials.skip_layers:
            raise ValueError("FLUX.1 leaves out no layers; skip_layers must be empty")
        length = check_rows(toolkit, at, [texts[number].length for number in numbers])
        times, shifted = tuple(each.t for each in at), toolkit.shifted(at[0])
        latent = pad(x, (half,) * 4, mode="replicate") if shifted else x
        rotary = positions.of_rows(x.shape[-2], x.shape[-1], length, times, shifted)
        text = torch.cat([tokens[number] for number in numbers]).to(x.device)
        text = text.repeat(1, toolkit.text_repeats, 1)
        nothing = torch.zeros(1, 3, device=x.device)  # positions, for which ours stand in
        whole = text.shape[1]
        rotary = own_rotary(rotary, whole, parallel)
        aligned = [
            _moved(own_rotary(each, whole, parallel), x.device)
            for each in positions.aligned(x.shape[-2], x.shape[-1], length, at[0], shifted)
        ]
        own_text = own_share(text, 1, parallel).shape[1]
        tuned = {} if toolkit.neutral else {"tuning": tuning, "text": own_text, "aligned": aligned}
        with (
            _embedded(network, times, guidance),
            _rotary(network.pos_embed, rotary, x.device),
            nullcontext() if known is None else known.given(times, numbers),
        ):
            out = network(
                hidden_states=packed(latent.to(dtype)),
                encoder_hidden_states=text,
                pooled_projections=torch.cat([pooled[number] for number in numbers]).to(x.device),
                timestep=x.new_zeros(len(x)),
                guidance=None if guidance is None else x.new_zeros(len(x)),
                img_ids=nothing,
                txt_ids=nothing,
                joint_attention_kwargs=tuned,
                return_dict=False,
            )[0]
        v = unpacked(out, latent.shape[-2], latent.shape[-1])
        if shifted:
            v = v[..., half:-half, half:-half]
        return v.to(x.dtype)

    return rows


def own_rotary(rotary: Rotary, text: int, parallel: ParallelConfig | None) -> Rotary:
    """The rotary embedding of this device's tokens: its share of the text's `text` and of the patches."""
    if parallel is None:
        return rotary
    cos, sin = (
        torch.cat([own_share(part, -2, parallel) for part in (each[..., :text, :], each[..., text:, :])], -2)
        for each in rotary
    )
    return cos, sin


def packed(latent: Tensor) -> Tensor:
    """(B, C, H, W) as patches in a row, (B, N, C * 4), the channel outermost."""
    batch, channels, height, width = latent.shape
    tiles = latent.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpacked(patches: Tensor, height: int, width: int) -> Tensor:
    """(B, N, C * 4) back to a latent (B, C, H, W)."""
    batch = len(patches)
    tiles = patches.reshape(batch, height // PATCH, width // PATCH, -1, PATCH, PATCH)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, height, width)


@contextmanager
def _embedded(
    network: FluxTransformer2DModel, times: tuple[float, ...], guidance: float | None
) -> Iterator[None]:
    """Let the embedding of time and guidance have them in float32 for the time of a call."""

    def exact(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        pooled = given[-1]
        scales = [times] if guidance is None else [times, (guidance,) * len(times)]
        read = [torch.tensor(scale, dtype=torch.float32, device=pooled.device) for scale in scales]
        return (*(scale * TIME_SCALE for scale in read), pooled)

    hook = network.time_text_embed.register_forward_pre_hook(exact)
    try:
        yield
    finally:
        hook.remove()


def _moved(rotary: Rotary, device: torch.device) -> Rotary:
    cos, sin = rotary
    return cos.to(device), sin.to(device)


@contextmanager
def _rotary(embedding: nn.Module, rotary: Rotary, device: torch.device) -> Iterator[None]:
    """Let the position embedding answer with this one for the time of a call."""
    moved = _moved(rotary, device)
    hook = embedding.register_forward_hook(lambda module, given, found: moved)
    try:
        yield
    finally:
        hook.remove()
