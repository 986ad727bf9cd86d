"""Text embeddings, cached: a prompt that comes again runs no text encoder.

What is cached lives on the CPU and is keyed by the weights, so it outlives a change of placement and is never
taken from another model.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from sd3demo.catalogue import EncoderInput
from sd3demo.engine.plan.costs import is_guided
from sd3demo.engine.plan.plan import Plan
from sd3demo.flow.guidance import Branch
from sd3demo.models.protocol import Conditioning, FlowModel
from sd3demo.settings import text_inputs

CACHED = 64  # an entry of SD3's is 333 x 4096 numbers, 2.7 MB in half precision


@dataclass(frozen=True)
class TextKey:
    """All that an embedding depends on: the weights, adapters among them, the inputs, and the precision.

    That is the network's, and beside it that of T5 or Gemma.
    """

    weights: str
    precision: str
    inputs: tuple[EncoderInput, ...]


class TextCache:
    """The most recently used embeddings.

    Not for several threads at once: the engine's lock stands round it, since the tokenizers that are asked on
    a miss are shared mutable state.
    """

    def __init__(self, size: int = CACHED) -> None:
        self._size = size
        self._entries: OrderedDict[TextKey, Conditioning] = OrderedDict()

    def __contains__(self, key: TextKey) -> bool:
        return key in self._entries

    def encode(self, model: FlowModel, key: TextKey) -> Conditioning:
        """The conditioning of a text; its `encoder_calls` are 0 when it was cached."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        encoded = model.encode(key.inputs)
        self._entries[key] = encoded.cached()
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return encoded


def text_keys(plan: Plan, weights: str) -> Mapping[Branch, TextKey]:
    """What has to be read for a plan, by branch: the prompt, and the negative text where guidance asks."""
    request, spec = plan.request, plan.spec
    precision = f"{request.precision}, {spec.large_encoder.precision}"
    keys: dict[Branch, TextKey] = {"conditional": TextKey(weights, precision, text_inputs(request, spec))}
    if is_guided(plan.stages):
        inputs = text_inputs(request, spec, negative=True)
        keys["unconditional"] = TextKey(weights, precision, inputs)
    return keys
