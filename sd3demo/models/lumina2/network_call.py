"""Lumina-Image 2.0's one network call, by diffusers' own forward, whose modules are called so that hooks run.

The network counts time from the noise, t = 0, to the data, and gives the velocity towards the data. The
positions of rows, texts of unequal length among them, are ours: those of diffusers end at 512 patches and at
300 tokens.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers import Lumina2Transformer2DModel
from torch import Tensor, nn
from torch.nn.functional import pad

from sd3demo.flow.solvers import At
from sd3demo.models.attention_tuning import Tuning
from sd3demo.models.averaged_attention import averaged_attention
from sd3demo.models.branches import check_rows
from sd3demo.models.gemma import GemmaText, text_rows
from sd3demo.models.lumina2.attention import tuned_attention
from sd3demo.models.lumina2.positions import JointRotary, joint_rotary
from sd3demo.models.protocol import Dials, Rows


def network_call(network: Lumina2Transformer2DModel, texts: Sequence[GemmaText], dials: Dials) -> Rows:
    """The rows of a network under these texts."""
    toolkit = dials.toolkit
    patch = int(network.config.patch_size)
    half = patch // 2
    axes: tuple[int, int, int] = tuple(network.config.axes_dim_rope)
    native = (toolkit.native[0] // patch, toolkit.native[1] // patch)
    tuning = Tuning(toolkit.attention_scale, toolkit.text_copies)

    def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
        if skip and dials.skip_layers:
            raise ValueError("Lumina-Image 2.0 leaves out no layers; skip_layers must be empty")
        check_rows(toolkit, at, [texts[number].length for number in numbers])
        shifted = toolkit.shifted(at[0])
        latent = (pad(x, (half,) * 4, mode="replicate") if shifted else x).to(network.dtype)
        text = text_rows(texts, numbers, latent)
        times = tuple(each.t for each in at)
        size = (x.shape[-2] // patch, x.shape[-1] // patch)
        turn = partial(
            joint_rotary, size, native, axes, toolkit, times, text.words, shifted=shifted, device=x.device
        )
        rotary = turn()
        aligned = [turn(bundling=each) for each in toolkit.bundlings(size, patch, at[0])]
        longest = max(text.words) + rotary.image.shape[1]
        joint = [layer.attn for layer in network.layers]
        apart = [layer.attn for layer in network.noise_refiner]
        patches = packed(latent, patch)
        with (
            _positions(network.rope_embedder, patches, rotary, text.words),
            tuned_attention(network, tuning, text.words, patches.shape[1]),
            averaged_attention(joint, [each.both[:, :longest] for each in aligned]),
            averaged_attention(apart, [each.image for each in aligned]),
        ):
            out = network(
                hidden_states=latent,
                timestep=torch.tensor([1 - t for t in times], dtype=torch.float32, device=x.device),
                encoder_hidden_states=text.tokens,
                encoder_attention_mask=text.mask,
                return_dict=False,
            )[0]
        v = -out
        if shifted:
            v = v[..., half:-half, half:-half]
        return v.to(x.dtype)

    return rows


def packed(latent: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) as patches in a row, (B, N, patch^2 C), the channel innermost."""
    batch, channels, height, width = latent.shape
    tiles = latent.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


@contextmanager
def _positions(
    embedder: nn.Module, patches: Tensor, rotary: JointRotary, words: Sequence[int]
) -> Iterator[None]:
    """Let the position embedding answer with these patches and positions for the time of a call.

    It is itself given one patch and one token, which lie within its tables at any size.
    """
    patch = int(embedder.patch_size)  # type: ignore[arg-type]
    rows = [count + patches.shape[1] for count in words]

    def one(module: nn.Module, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        latent, mask = given
        return latent[..., :patch, :patch], mask[:, :1]

    def ours(module: nn.Module, given: object, found: object) -> tuple[Any, ...]:
        return patches, rotary.text, rotary.image, rotary.both[:, : max(rows)], list(words), rows

    hooks = (embedder.register_forward_pre_hook(one), embedder.register_forward_hook(ours))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
