"""SD3's transformer by diffusers' own forward, for weights that hooks bring block by block.

Its modules are called, so that offload hooks run. What that forward has no argument for is put in at two
places: an attention processor that scales logits and counts the text several times, and the positions, which
are handed out by the patch embedding for the time of a call.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import Attention as AttentionModule
from torch import Tensor, nn

from sd3demo.models.attention_tuning import STOCK, Tuning, attend
from sd3demo.models.context_parallel import ParallelConfig
from sd3demo.models.offloading import works_on
from sd3demo.models.protocol import Dials
from sd3demo.models.sd3.attention_maps import shares
from sd3demo.models.sd3.modulation import TIME_SCALE
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import positions_of


class Streamed:
    """A network whose blocks are called as modules."""

    def __init__(self, network: SD3Transformer2DModel, texts: Sequence[SD3Text], dials: Dials) -> None:
        device, dtype = works_on(network), network.dtype
        self._network = network
        self._tuning = Tuning(dials.toolkit.attention_scale, dials.toolkit.text_copies)
        self._tokens = [text.tokens.to(device, dtype) for text in texts]
        self._pooled = torch.cat([text.pooled.to(device, dtype) for text in texts])
        use_own_attention(network)

    def __call__(
        self,
        latent: Tensor,
        positions: Tensor,
        times: tuple[float, ...],
        texts: tuple[int, ...],
        skip: tuple[int, ...],
        /,
    ) -> Tensor:
        return self.evaluate(latent, positions, times, texts, skip)

    def evaluate(
        self,
        latent: Tensor,
        positions: Tensor,
        times: tuple[float, ...],
        texts: tuple[int, ...],
        skip: tuple[int, ...] = (),
        *,
        recorder: "ShareRecorder | None" = None,
    ) -> Tensor:
        """The same, with what a recorder sees of the attention on the way."""
        call: Callable[..., tuple[Tensor]] = self._network
        with _positions(self._network.pos_embed, positions):
            return call(
                hidden_states=latent,
                timestep=torch.tensor(times, dtype=torch.float32, device=latent.device) * TIME_SCALE,
                encoder_hidden_states=torch.cat([self._tokens[number] for number in texts]),
                pooled_projections=self._pooled[list(texts)],
                joint_attention_kwargs={"tuning": self._tuning, "recorder": recorder},
                skip_layers=list(skip),
                return_dict=False,
            )[0]


def attention(
    network: SD3Transformer2DModel,
    x: Tensor,
    t: float,
    text: SD3Text,
    *,
    groups: Tensor,
    blocks: Sequence[int],
) -> Iterator[Tensor]:
    """What `attention_maps.of_network` gives, from one whole call of a streamed network."""
    recorder = ShareRecorder(network, groups.to(x.device), blocks)
    positions = positions_of(network, *x.shape[-2:]).to(x.device, network.dtype)
    rows = len(x)
    streamed = Streamed(network, [text], Dials())
    streamed.evaluate(x.to(network.dtype), positions, (t,) * rows, (0,) * rows, recorder=recorder)
    for number in sorted(recorder.found):
        yield recorder.found[number]


class ShareRecorder:
    """Keeps each patch's share of attention on groups of text tokens, (B, N, U), for some blocks."""

    def __init__(self, network: SD3Transformer2DModel, groups: Tensor, blocks: Sequence[int]) -> None:
        self._groups = groups
        self._numbers = {
            id(block.attn): number
            for number, block in enumerate(network.transformer_blocks)
            if number in blocks
        }
        self.found: dict[int, Tensor] = {}

    def __call__(self, attention: nn.Module, query: Tensor, key: Tensor) -> None:
        """Queries of the patches and keys of patches and text, (B, N, heads, d)."""
        number = self._numbers.get(id(attention))
        if number is not None:
            self.found[number] = shares(query, key, self._groups)


class JointAttention:
    """SD3's attention processor of diffusers, with a tuning of the logits; a stock one to rounding.

    diffusers sets `_parallel_config` where the tokens are shared out among devices.
    """

    _parallel_config: ParallelConfig | None = None

    def __call__(
        self,
        attn: AttentionModule,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        tuning: Tuning = STOCK,
        recorder: ShareRecorder | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        count, text = hidden_states.shape[1], 0
        query, key, value = _normalised(attn, hidden_states, ("to_q", "to_k", "to_v"), "norm_q", "norm_k")
        if encoder_hidden_states is not None:
            text = encoder_hidden_states.shape[1]
            layers = ("add_q_proj", "add_k_proj", "add_v_proj")
            more = _normalised(attn, encoder_hidden_states, layers, "norm_added_q", "norm_added_k")
            query, key, value = (
                torch.cat(pair, dim=1) for pair in zip((query, key, value), more, strict=True)
            )
            if recorder is not None:
                recorder(attn, query[:, :count], key)
        mixed = attend(query, key, value, text, tuning, parallel=self._parallel_config)
        image = attn.to_out[0](mixed[:, :count])
        if encoder_hidden_states is None:
            return image
        rest = mixed[:, count:]
        return image, rest if attn.context_pre_only else attn.to_add_out(rest)


def _normalised(
    attn: nn.Module, x: Tensor, layers: tuple[str, str, str], norm_q: str, norm_k: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of a stream, each (B, N, heads, d), with QK-norm where the network has it."""
    query, key, value = (getattr(attn, layer)(x).unflatten(-1, (attn.heads, -1)) for layer in layers)
    for_query, for_key = getattr(attn, norm_q, None), getattr(attn, norm_k, None)
    query = query if for_query is None else for_query(query)
    key = key if for_key is None else for_key(key)
    return query, key, value


def use_own_attention(network: SD3Transformer2DModel) -> None:
    """Set the processors once; a network that is never given a tuning computes as before."""
    if not all(isinstance(each, JointAttention) for each in network.attn_processors.values()):
        network.set_attn_processor(JointAttention())


@contextmanager
def _positions(patches: nn.Module, positions: Tensor) -> Iterator[None]:
    """Let a patch embedding add these positions, (1 or R, N, D), in place of its table's middle."""
    patches.cropped_pos_embed = lambda height, width: positions  # type: ignore[assignment]
    try:
        yield
    finally:
        del patches.cropped_pos_embed
