"""The text encoders of SD3 and what they make of a text together.

As `StableDiffusion3Pipeline` does it: the second-last layer of both CLIPs side by side, padded to T5's width,
then T5's tokens; the CLIPs' pooled vectors side by side. An encoder whose mode is `zeros` computes nothing
and need not be loaded: the network was trained with each encoder zeroed now and then (SD3, appendix B.3).
What guidance leads away from is the encoded negative text, "" by default, as in that pipeline; the paper's
own unconditional is all three encoders zeroed, which the setting `uncond` offers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from sd3demo.catalogue import EncoderInput, MMDiTShape, ModelSpec
from sd3demo.models.offloading import works_on

CLIPS = ("clip_l", "clip_g")


@dataclass(frozen=True, eq=False)
class SD3Text:
    """A text as SD3's network reads it."""

    tokens: Tensor  # (1, L, D)
    pooled: Tensor  # (1, P)
    encoder_calls: int = 0

    @property
    def length(self) -> int:
        """L, the tokens of both CLIPs' row and of T5."""
        return self.tokens.shape[1]

    def cached(self) -> Self:
        """The same on the CPU, with no encoder calls of its own."""
        return replace(self, tokens=self.tokens.cpu(), pooled=self.pooled.cpu(), encoder_calls=0)


@dataclass(frozen=True)
class ClipWidths:
    """What a CLIP's zeros are sized by, from its config: channels of a token and of the pooled vector."""

    token: int
    pooled: int


@dataclass(frozen=True, eq=False)
class ClipEncoder:
    """One CLIP text encoder and its tokenizer."""

    model: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer

    def __call__(self, text: str, tokens: int) -> tuple[Tensor, Tensor]:
        """(1, tokens, D) and the pooled (1, P)."""
        ids = _ids(self.tokenizer, text, tokens)
        out = self.model(ids.to(works_on(self.model)), output_hidden_states=True)
        return out.hidden_states[-2], out.text_embeds


@dataclass(frozen=True, eq=False)
class T5Encoder:
    """The T5 encoder and its tokenizer."""

    model: T5EncoderModel
    tokenizer: T5Tokenizer

    def __call__(self, text: str, tokens: int) -> Tensor:
        """(1, tokens, D), padding included: the transformer attends to it."""
        return self.model(_ids(self.tokenizer, text, tokens).to(works_on(self.model)))[0]


LoadedEncoder: TypeAlias = ClipEncoder | T5Encoder


def encode(
    spec: ModelSpec,
    encoders: Mapping[str, LoadedEncoder],
    widths: Mapping[str, ClipWidths],
    inputs: tuple[EncoderInput, ...],
    dtype: torch.dtype,
) -> SD3Text:
    """The encoders' outputs side by side and in a row.

    Raises ValueError where an encoder has to run and is not loaded.
    """
    given = by_encoder(spec, inputs)
    clips = {
        name: cast(ClipEncoder, loaded(spec, encoders, name))(given[name].text, given[name].tokens)
        for name in CLIPS
        if running(spec, given[name])
    }
    t5 = given.get("t5")
    t5_rows = None
    if t5 is not None and running(spec, t5):
        t5_rows = cast(T5Encoder, loaded(spec, encoders, "t5"))(text_of(t5), t5.tokens)

    outputs = [rows for rows, _ in clips.values()] + ([] if t5_rows is None else [t5_rows])
    device = outputs[0].device if outputs else torch.device("cpu")
    for name in CLIPS:
        if name not in clips:
            width = widths[name]
            zeros = torch.zeros(1, given[name].tokens, width.token, dtype=dtype)
            clips[name] = zeros, torch.zeros(1, width.pooled, dtype=dtype)
    side_by_side = torch.cat([clips[name][0].to(device) for name in CLIPS], dim=-1)
    joint_dim = cast(MMDiTShape, spec.network).joint_dim
    in_a_row = [pad(side_by_side, (0, joint_dim - side_by_side.shape[-1]))]
    if t5_rows is not None:
        in_a_row.append(t5_rows.to(device))
    elif t5 is not None and t5.mode != "omit":
        in_a_row.append(side_by_side.new_zeros(1, t5.tokens, joint_dim))
    pooled = torch.cat([clips[name][1].to(device) for name in CLIPS], dim=-1)
    return SD3Text(torch.cat(in_a_row, dim=1), pooled, len(outputs))


def by_encoder(spec: ModelSpec, inputs: tuple[EncoderInput, ...]) -> dict[str, EncoderInput]:
    """Inputs by their encoder's name; a CLIP that is given none has zeros, and T5 is left out."""
    given = {each.encoder: each for each in inputs}
    for name in CLIPS:
        given.setdefault(name, EncoderInput(name, "", "zeros", spec.encoder(name).tokens))
    return given


def running(spec: ModelSpec, given: EncoderInput) -> bool:
    """Whether an encoder computes something; one that the checkpoint does not carry gives zeros."""
    return given.runs and spec.has(given.encoder)


def text_of(given: EncoderInput) -> str:
    """The text that an encoder reads, which in the mode `empty` is none."""
    return "" if given.mode == "empty" else given.text


def loaded(spec: ModelSpec, encoders: Mapping[str, LoadedEncoder], name: str) -> LoadedEncoder:
    """An encoder that has to run. Raises ValueError where it is not loaded."""
    if name not in encoders:
        folder = spec.encoder(name).folder
        raise ValueError(f"{name} is to run and is not loaded; call load([{folder!r}]) first")
    return encoders[name]


def _ids(tokenizer: CLIPTokenizer | T5Tokenizer, text: str, tokens: int) -> Tensor:
    """(1, tokens): cut and padded to that length."""
    encoded = tokenizer([text], padding="max_length", max_length=tokens, truncation=True, return_tensors="pt")
    return cast(Tensor, encoded.input_ids)
