"""Gemma and Gemma 2 as the text encoder of the Lumina families: the last layer's input for each token.

Texts are padded on the right, so that the tokens of a text stand where they would stand alone: attention is
causal, and so no token sees the padding after it. The network masks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor
from transformers import Gemma2Model, GemmaModel, GemmaTokenizer

from sd3demo.catalogue import EncoderInput, LargeEncoder, ModelSpec, TextEncoder
from sd3demo.models.encoding import loaded
from sd3demo.models.low_bits import encoder_dtype, in_few_bits, reading_arguments
from sd3demo.models.offloading import works_on
from sd3demo.models.reading import Loadable, read_configured, read_module, without_progress_bars

LAYER = -2
"""Of Gemma's hidden states: the last but one."""


@dataclass(frozen=True, eq=False)
class GemmaText:
    """A text as the Lumina networks read it: `words` tokens of its own, then padding, which is masked."""

    tokens: Tensor  # (1, L, D)
    words: int
    encoder_calls: int = 0

    @property
    def length(self) -> int:
        """L, padding included."""
        return self.tokens.shape[1]

    def cached(self) -> Self:
        """The same on the CPU, with no encoder calls of its own."""
        return replace(self, tokens=self.tokens.cpu(), encoder_calls=0)


@dataclass(frozen=True, eq=False)
class GemmaEncoder:
    """Gemma, or Gemma 2, and its tokenizer."""

    model: GemmaModel | Gemma2Model
    tokenizer: GemmaTokenizer

    def __call__(self, text: str, tokens: int) -> GemmaText:
        """The text in that many tokens, cut where it is longer."""
        found = self.tokenizer(
            [text],
            padding="max_length",
            padding_side="right",
            max_length=tokens,
            truncation=True,
            return_tensors="pt",
        )
        mask, device = found.attention_mask, works_on(self.model)
        mask[:, 0] = 1  # the token that begins a text, which a tokenizer may leave out of an empty one
        hidden = self.model(
            found.input_ids.to(device),
            attention_mask=mask.to(device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        return GemmaText(hidden[LAYER], int(mask.sum()), encoder_calls=1)


@dataclass(frozen=True, eq=False)
class TextRows:
    """The texts of a call's rows, each cut after the longest one's own tokens."""

    tokens: Tensor  # (R, L, D)
    words: tuple[int, ...]

    @property
    def mask(self) -> Tensor:
        """(R, L), true for a text's own tokens."""
        count = torch.tensor(self.words, device=self.tokens.device)
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < count[:, None]


def text_rows(texts: Sequence[GemmaText], numbers: Sequence[int], like: Tensor) -> TextRows:
    """The texts of these numbers, on that device and in that precision."""
    words = tuple(texts[number].words for number in numbers)
    tokens = torch.cat([texts[number].tokens[:, : max(words)] for number in numbers])
    return TextRows(tokens.to(like), words)


def encode(
    spec: ModelSpec, encoders: Mapping[str, GemmaEncoder], inputs: tuple[EncoderInput, ...]
) -> GemmaText:
    """Gemma's reading of its input. Raises ValueError where it is not loaded."""
    (given,) = inputs
    return loaded(spec, encoders, given.encoder)(given.text, given.tokens)


def read_encoder(
    kind: type[GemmaModel] | type[Gemma2Model],
    large: LargeEncoder,
    folder: Path,
    dtype: torch.dtype,
    encoder: TextEncoder,
) -> GemmaEncoder:
    """A checkpoint's Gemma with its tokenizer. Raises Refusal for files that cannot be read."""
    with without_progress_bars():
        read = read_module(
            cast(Loadable, kind),
            folder / encoder.folder,
            encoder_dtype(large, dtype),
            reading_arguments(large, dtype),
        )
        model = cast("GemmaModel | Gemma2Model", in_few_bits(read, large))
        tokenizer = cast(GemmaTokenizer, read_configured(GemmaTokenizer, folder / "tokenizer"))
    return GemmaEncoder(model, tokenizer)
