"""One large picture on several devices: diffusers' context parallelism (Ulysses) for SD3 and FLUX.1.

Each device holds all weights and a share of the tokens, of the picture's and of the text's. For attention
shares of tokens are exchanged for shares of heads. What a key has of its own, such as the log of the text's
copies, rides in channels of the key itself (attention_tuning.py), and so comes to every device with it; a
bias by place would have to be put together anew from the shares.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from diffusers import ContextParallelConfig, FluxTransformer2DModel, ModelMixin
from diffusers.hooks.context_parallel import apply_context_parallel
from diffusers.models._modeling_parallel import ContextParallelInput, ParallelConfig
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.functional import pad

__all__ = ["ParallelConfig", "exchanged_attention", "own_share", "parallel_of", "parallelise"]

TOKENS = ContextParallelInput(split_dim=1, expected_dims=3, split_output=False)
MADE_TOKENS = ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)
SD3_PLAN: Mapping[str, object] = {
    "pos_embed": {0: MADE_TOKENS},
    "context_embedder": {0: MADE_TOKENS},
}
FLUX_PLAN: Mapping[str, object] = {
    "": {"hidden_states": TOKENS, "encoder_hidden_states": TOKENS},
}
"""Where tokens are shared out; FLUX.1's positions are ours, and shared out by us."""


def parallelise(network: nn.Module, world: int) -> None:
    """Share a network's tokens among the devices of the process group, of which there are `world`.

    The steps of `ModelMixin.enable_parallelism`, which divides by the number of accelerators and so fails on
    CPUs, where all this is tested.
    """
    assert isinstance(network, ModelMixin)
    if isinstance(network, FluxTransformer2DModel):
        plan = FLUX_PLAN
    else:
        from sd3demo.models.sd3.streamed import use_own_attention

        use_own_attention(network)
        plan = SD3_PLAN
    # "anything": lengths and heads that do not divide by the number of devices, such as SD3's 333 tokens
    shares = ContextParallelConfig(ulysses_degree=world, ulysses_anything=True)
    config = ParallelConfig(context_parallel_config=shares)
    mesh = init_device_mesh(
        network.device.type, mesh_shape=shares.mesh_shape, mesh_dim_names=shares.mesh_dim_names
    )
    config.setup(torch.distributed.get_rank(), world, network.device, mesh=mesh)
    network._parallel_config = config
    for module in network.modules():
        processor = getattr(module, "processor", None)
        if processor is not None and hasattr(processor, "_parallel_config"):
            processor._parallel_config = config
    apply_context_parallel(network, shares, cast(Any, dict(plan)))
    network.proj_out.register_forward_hook(lambda module, given, tokens: gathered(tokens, config))


def parallel_of(network: nn.Module) -> ParallelConfig | None:
    """How a network's tokens are shared out; None for one that runs on one device."""
    found = getattr(network, "_parallel_config", None)
    return found if isinstance(found, ParallelConfig) else None


def own_share(tokens: Tensor, dim: int, parallel: ParallelConfig | None) -> Tensor:
    """The share of this device along a dimension, as diffusers' hooks cut it."""
    if parallel is None:
        return tokens
    mesh = parallel.context_parallel_config._flattened_mesh
    return tokens.tensor_split(mesh.size(), dim=dim)[torch.distributed.get_rank(mesh.get_group())]


def gathered(tokens: Tensor, parallel: ParallelConfig) -> Tensor:
    """The tokens (B, N, D) of all devices in a row, whose shares may differ by one.

    diffusers gathers shares as they are, which gloo refuses for unequal ones; here they go padded.
    """
    mesh = parallel.context_parallel_config._flattened_mesh
    count = torch.tensor([tokens.shape[1]], device=tokens.device)
    counts = [torch.empty_like(count) for _ in range(mesh.size())]
    torch.distributed.all_gather(counts, count, group=mesh.get_group())
    lengths = [int(each) for each in counts]
    padded = pad(tokens, (0, 0, 0, max(lengths) - tokens.shape[1])).contiguous()
    shares = [torch.empty_like(padded) for _ in lengths]
    torch.distributed.all_gather(shares, padded, group=mesh.get_group())
    return torch.cat([share[:, :length] for share, length in zip(shares, lengths, strict=True)], dim=1)


def exchanged_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float | None, parallel: ParallelConfig
) -> Tensor:
    """Attention over the tokens of all devices for this one's, each (B, N, heads, d)."""
    return dispatch_attention_fn(query, key, value, scale=scale, parallel_config=parallel)
