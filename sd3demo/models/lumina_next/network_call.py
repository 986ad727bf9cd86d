"""Lumina-Next's one network call, by diffusers' own forward, whose modules are called so that hooks run.

The network counts time from the noise, t = 0, to the data, and gives the velocity towards the data; beside it
a variance, which is not read. Its rotary embedding is ours.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from diffusers import LuminaNextDiT2DModel
from torch import Tensor, nn
from torch.nn.functional import pad

from sd3demo.flow.solvers import At
from sd3demo.models.averaged_attention import averaged_attention
from sd3demo.models.branches import check_rows
from sd3demo.models.gemma import GemmaText, text_rows
from sd3demo.models.lumina_next.attention import scaled_attention
from sd3demo.models.lumina_next.positions import rotary
from sd3demo.models.protocol import Dials, Rows


def network_call(network: LuminaNextDiT2DModel, texts: Sequence[GemmaText], dials: Dials) -> Rows:
    """The rows of a network under these texts."""
    toolkit = dials.toolkit
    patch = int(network.config.patch_size)
    half = patch // 2
    native = (toolkit.native[0] // patch, toolkit.native[1] // patch)
    if toolkit.text_copies != 1:
        raise ValueError(
            f"text_copies is {toolkit.text_copies:g}; Lumina-Next reads its text by an attention of its own, "
            "where copies of every key cancel: leave it at 1"
        )

    def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
        if skip and dials.skip_layers:
            raise ValueError("Lumina-Next leaves out no layers; skip_layers must be empty")
        check_rows(toolkit, at, [texts[number].length for number in numbers])
        shifted = toolkit.shifted(at[0])
        latent = (pad(x, (half,) * 4, mode="replicate") if shifted else x).to(network.dtype)
        size = (x.shape[-2] // patch, x.shape[-1] // patch)
        text = text_rows(texts, numbers, latent)
        times = tuple(each.t for each in at)
        turn = partial(
            rotary, size, native, network.head_dim, toolkit, times, shifted=shifted, device=x.device
        )
        turned = turn()
        aligned = [turn(bundling=each) for each in toolkit.bundlings(size, patch, at[0])]
        attentions = [module for layer in network.layers for module in (layer.attn1, layer.attn2)]
        with (
            _rotary(network.patch_embedder, turned),
            scaled_attention(network, toolkit.attention_scale),
            averaged_attention(attentions, aligned),
        ):
            out = network(
                hidden_states=latent,
                timestep=torch.tensor([1 - t for t in times], dtype=torch.float32, device=x.device),
                encoder_hidden_states=text.tokens,
                encoder_mask=text.mask,
                image_rotary_emb=turned.new_zeros(1, 1, 1),  # for which ours stands in
                cross_attention_kwargs={},
                return_dict=False,
            )[0]
        v = -out[:, : x.shape[1]]
        if shifted:
            v = v[..., half:-half, half:-half]
        return v.to(x.dtype)

    return rows


@contextmanager
def _rotary(embedder: nn.Module, turned: Tensor) -> Iterator[None]:
    """Let the patch embedding give this rotary embedding with the patches for the time of a call."""

    def ours(module: nn.Module, given: object, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (*found[:-1], turned)

    hook = embedder.register_forward_hook(ours)
    try:
        yield
    finally:
        hook.remove()
