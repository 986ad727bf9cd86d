"""The text encoders of FLUX.1 and what they make of a text together.

As `FluxPipeline` does it: T5's tokens with their padding, which nothing masks, and the pooled vector of
CLIP-L without a projection. An encoder whose mode is `zeros` computes nothing and need not be loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self, TypeAlias, cast

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from sd3demo.catalogue import EncoderInput, FluxShape, ModelSpec
from sd3demo.models.encoding import T5Encoder, loaded, running, text_of, token_ids
from sd3demo.models.offloading import works_on


@dataclass(frozen=True, eq=False)
class FluxText:
    """A text as FLUX.1's network reads it."""

    tokens: Tensor  # (1, L, D)
    pooled: Tensor  # (1, P)
    encoder_calls: int = 0

    @property
    def length(self) -> int:
        """L, T5's tokens."""
        return self.tokens.shape[1]

    def cached(self) -> Self:
        """The same on the CPU, with no encoder calls of its own."""
        return replace(self, tokens=self.tokens.cpu(), pooled=self.pooled.cpu(), encoder_calls=0)


@dataclass(frozen=True, eq=False)
class PooledClip:
    """CLIP-L and its tokenizer."""

    model: CLIPTextModel
    tokenizer: CLIPTokenizer

    def __call__(self, text: str, tokens: int) -> Tensor:
        """(1, P), the last layer's output at the text's end."""
        ids = token_ids(self.tokenizer, text, tokens)
        return cast(Tensor, self.model(ids.to(works_on(self.model))).pooler_output)


FluxEncoder: TypeAlias = PooledClip | T5Encoder


def encode(
    spec: ModelSpec,
    encoders: Mapping[str, FluxEncoder],
    inputs: tuple[EncoderInput, ...],
    dtype: torch.dtype,
) -> FluxText:
    """Both encoders' outputs. Raises ValueError where an encoder has to run and is not loaded."""
    network = cast(FluxShape, spec.network)
    given = {each.encoder: each for each in inputs}
    answers: dict[str, Tensor] = {}
    for name, each in given.items():
        if running(spec, each):
            answers[name] = loaded(spec, encoders, name)(text_of(each), each.tokens)
    calls = len(answers)
    device = next((answer.device for answer in answers.values()), torch.device("cpu"))
    zeros = {
        "t5": torch.zeros(1, given["t5"].tokens, network.joint_dim, dtype=dtype),
        "clip_l": torch.zeros(1, network.pooled_dim, dtype=dtype),
    }
    tokens, pooled = ((answers[name] if name in answers else zeros[name]).to(device) for name in zeros)
    return FluxText(tokens, pooled, calls)
