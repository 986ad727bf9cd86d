"""Text embeddings, remembered: a prompt that comes again runs no text encoder.

What is remembered lives on the CPU and is keyed by the weights, so it outlives a change of placement and is
never taken from another model.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace

from sd3demo.models.protocol import Conditioning, EncoderModes, FlowModel, Texts
from sd3demo.settings import Resolved

REMEMBERED = 64  # an entry of SD3's is 333 x 4096 numbers, 2.7 MB in half precision


@dataclass(frozen=True)
class TextKey:
    """All that an embedding depends on."""

    weights: str
    precision: str
    texts: Texts
    encoders: EncoderModes


class TextCache:
    """The most recently used embeddings.

    Not for several threads at once: the engine's lock stands round it, since the tokenizers that are asked on
    a miss are shared mutable state.
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._entries: OrderedDict[TextKey, Conditioning] = OrderedDict()

    def encode(self, model: FlowModel, key: TextKey) -> Conditioning:
        """The conditioning of a text; its `encoder_calls` are 0 when it was remembered."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = model.encode(key.texts, key.encoders)
        self._entries[key] = replace(
            made, tokens=made.tokens.cpu(), pooled=made.pooled.cpu(), encoder_calls=0
        )
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return made


def prompt_texts(request: Resolved) -> Texts:
    """What the three encoders read for the picture."""
    return Texts(request.prompt, request.prompt_2 or request.prompt, request.prompt_3 or request.prompt)


def negative_texts(request: Resolved) -> Texts:
    """What they read for the unconditional branch: the negative prompt, "" by default, in all three."""
    return Texts(request.negative, request.negative, request.negative)


def encoders_of(request: Resolved) -> EncoderModes:
    """The encoders' modes, the same in both branches."""
    return EncoderModes(request.clip_l, request.clip_g, request.t5, request.max_sequence_length)
