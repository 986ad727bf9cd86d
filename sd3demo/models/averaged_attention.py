"""Attention averaged over several rotary embeddings, as a processor in front of a network's own.

What a processor gives is linear in the mixed values, so that averaging it averages the attention.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

Processor = Callable[..., Tensor]


class AveragedAttention:
    """The mean of what a processor gives under each rotary embedding, in place of the one that it is given.

    The names are those that the attention modules of the Lumina networks call their processors with.
    """

    def __init__(self, own: Processor, rotaries: Sequence[Tensor]) -> None:
        self._own, self._rotaries = own, rotaries

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Tensor | None = None,
        query_rotary_emb: Tensor | None = None,
        key_rotary_emb: Tensor | None = None,
    ) -> Tensor:
        given = {
            "image_rotary_emb": image_rotary_emb,
            "query_rotary_emb": query_rotary_emb,
            "key_rotary_emb": key_rotary_emb,
        }
        names = [name for name, value in given.items() if value is not None]
        mixed = [
            self._own(
                attn,
                hidden_states,
                encoder_hidden_states,
                attention_mask=attention_mask,
                **dict.fromkeys(names, rotary),
            )
            for rotary in self._rotaries
        ]
        return mean_of(mixed)


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; one alone is returned as it is."""
    total = tensors[0]
    for each in tensors[1:]:
        total = total + each
    return total if len(tensors) == 1 else total / len(tensors)


@contextmanager
def averaged_attention(blocks: Sequence[nn.Module], rotaries: Sequence[Tensor]) -> Iterator[None]:
    """Average these attention modules over rotary embeddings for the time of a call; one is not averaged."""
    if len(rotaries) < 2:
        yield
        return
    own: list[Processor] = [block.processor for block in blocks]  # type: ignore[misc]
    for block, processor in zip(blocks, own, strict=True):
        block.processor = AveragedAttention(processor, rotaries)  # type: ignore[assignment]
    try:
        yield
    finally:
        for block, processor in zip(blocks, own, strict=True):
            block.processor = processor  # type: ignore[assignment]
