"""Stable Diffusion 3 and 3.5: any folder with an `SD3Transformer2DModel`, behind the project's protocol.

Texts are encoded as `StableDiffusion3Pipeline` does: the second-last layer of both CLIPs side by side, padded
to T5's width, then T5's tokens; the CLIPs' pooled vectors side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from sd3demo.catalogue import ModelSpec, Part
from sd3demo.flow.guidance import Branch, Branches
from sd3demo.flow.solvers import At
from sd3demo.models.attention_tuning import Tuning
from sd3demo.models.offloading import bring, stays, stock_branches, streaming_hook, works_on
from sd3demo.models.protocol import ClipMode, Conditioning, Dials, EncoderModes, Rows, Texts, TokenWords
from sd3demo.models.sd3 import attention_maps as attention
from sd3demo.models.sd3 import rows
from sd3demo.models.sd3 import token_words as reading
from sd3demo.models.sd3.modulation import WINDOW, Modulation, modulations, repeated
from sd3demo.models.sd3.positions import PositionCache
from sd3demo.models.sd3.transformer import MMDiT, forward, lay_out


@dataclass(frozen=True, eq=False)
class Clip:
    """One CLIP text encoder and its tokenizer."""

    model: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer

    def __call__(self, text: str, tokens: int, mode: ClipMode) -> tuple[Tensor, Tensor]:
        """(1, tokens, D) and the pooled (1, P); zeros of those shapes where the encoder is off."""
        config, like = self.model.config, next(self.model.parameters())
        if mode == "zeros":
            return like.new_zeros(1, tokens, config.hidden_size), like.new_zeros(1, config.projection_dim)
        ids = _ids(self.tokenizer, text, tokens)
        out = self.model(ids.to(works_on(self.model)), output_hidden_states=True)
        return out.hidden_states[-2], out.text_embeds


@dataclass(frozen=True, eq=False)
class T5:
    """The T5 encoder and its tokenizer."""

    model: T5EncoderModel
    tokenizer: T5Tokenizer

    def __call__(self, text: str, tokens: int) -> Tensor:
        """(1, tokens, D), padding included: the transformer attends to it."""
        return self.model(_ids(self.tokenizer, text, tokens).to(works_on(self.model)))[0]


@dataclass(frozen=True, eq=False)
class SD3:
    """The parts of a checkpoint, and what they do together."""

    spec: ModelSpec
    transformer: SD3Transformer2DModel
    vae: AutoencoderKL
    clip_l: Clip
    clip_g: Clip
    t5: T5 | None

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        encoders = [self.clip_l.model, self.clip_g.model, *([self.t5.model] if self.t5 else [])]
        return {"text": nn.ModuleList(encoders), "flow": self.transformer, "vae": self.vae}

    def encode(self, texts: Texts, encoders: EncoderModes) -> Conditioning:
        spec = self.spec
        tokens_l, pooled_l = self.clip_l(texts.clip_l, spec.clip_tokens, encoders.clip_l)
        tokens_g, pooled_g = self.clip_g(texts.clip_g, spec.clip_tokens, encoders.clip_g)
        clips = torch.cat((tokens_l, tokens_g), dim=-1)
        rows = [nn.functional.pad(clips, (0, spec.network.joint_dim - clips.shape[-1]))]
        calls = (encoders.clip_l == "on") + (encoders.clip_g == "on")
        if encoders.t5 != "omit":
            if self.t5 is None or encoders.t5 == "zeros":
                rows.append(clips.new_zeros(1, encoders.t5_tokens, spec.network.joint_dim))
            else:
                rows.append(self.t5("" if encoders.t5 == "empty" else texts.t5, encoders.t5_tokens))
                calls += 1
        return Conditioning(torch.cat(rows, dim=1), torch.cat((pooled_l, pooled_g), dim=-1), calls)

    def branches(self, conditionings: Mapping[Branch, Conditioning], dials: Dials) -> Branches:
        if streaming_hook(self.transformer) is not None:
            return stock_branches(self.transformer, conditionings, dials)
        bring(self.transformer)
        layers = self._layers if stays(self.transformer) else lay_out(self.transformer)
        return _ahead_branches(self.transformer, layers, conditionings, dials)

    def rows(self, conditionings: Sequence[Conditioning]) -> Rows:
        if streaming_hook(self.transformer) is not None:
            return rows.stock_rows(self.transformer, conditionings)
        bring(self.transformer)
        layers = self._layers if stays(self.transformer) else lay_out(self.transformer)
        return rows.rows(self.transformer, layers, conditionings)

    def read(self, texts: Texts, encoders: EncoderModes) -> TokenWords:
        clips, t5 = [], reading.zeros(encoders.t5_tokens)
        for clip, text, mode in (
            (self.clip_l, texts.clip_l, encoders.clip_l),
            (self.clip_g, texts.clip_g, encoders.clip_g),
        ):
            if mode == "on":
                clips.append(reading.read(clip.tokenizer, text, self.spec.clip_tokens))
        if encoders.t5 == "omit":
            t5 = []
        elif self.t5 is not None and encoders.t5 != "zeros":
            text = "" if encoders.t5 == "empty" else texts.t5
            t5 = reading.read(self.t5.tokenizer, text, encoders.t5_tokens)
        return reading.reading(clips or [reading.zeros(self.spec.clip_tokens)], t5)

    def attention(
        self, x: Tensor, t: float, conditioning: Conditioning, groups: Tensor, blocks: Sequence[int]
    ) -> Iterator[Tensor]:
        bring(self.transformer)
        layers = self._layers if stays(self.transformer) else lay_out(self.transformer)
        return attention.of_network(
            self.transformer, layers, x, t, conditioning, groups=groups, blocks=blocks
        )

    @cached_property
    def _layers(self) -> MMDiT:
        """The transformer's layers, once it is where it stays."""
        return lay_out(self.transformer)

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        config = self.vae.config
        posterior = self.vae.encode(image.to(self.vae.dtype)).latent_dist
        z = posterior.mode() if noise is None else posterior.mean + posterior.std * noise.to(posterior.mean)
        return (z - (config.shift_factor or 0.0)) * config.scaling_factor

    def to_image(self, latent: Tensor) -> Tensor:
        config = self.vae.config
        scaled = latent.to(self.vae.dtype) / config.scaling_factor + (config.shift_factor or 0.0)
        return cast(Tensor, self.vae.decode(scaled, return_dict=False)[0])


def _ahead_branches(
    network: SD3Transformer2DModel,
    layers: MMDiT,
    conditionings: Mapping[Branch, Conditioning],
    dials: Dials,
) -> Branches:
    """Everything that time and text alone decide is computed ahead, a window of times together."""
    device, dtype = network.device, network.dtype
    texts = {name: network.context_embedder(c.tokens.to(device, dtype)) for name, c in conditionings.items()}
    modulation = _Modulations(network, conditionings, dials.times)
    toolkit, half = dials.toolkit, network.config.patch_size // 2
    tuning = Tuning(toolkit.attention_scale, toolkit.text_copies)
    placed = PositionCache(network, toolkit)

    def branches(x: Tensor, at: At, wanted: tuple[Branch, ...]) -> tuple[Tensor, ...]:
        shifted = toolkit.shifted(at)
        positions = placed(x.shape[-2], x.shape[-1], at.t, shifted).to(dtype)
        latent = x.to(dtype).repeat(len(wanted), 1, 1, 1)
        if shifted:
            latent = pad(latent, (half,) * 4, mode="replicate")
        text = torch.cat([texts[name].expand(len(x), -1, -1) for name in wanted])
        rows = repeated(modulation(at.t, wanted), len(x))
        out = forward(layers, latent, text, positions, rows, tuning)
        if shifted:
            out = out[..., half:-half, half:-half]
        return out.to(x.dtype).chunk(len(wanted))

    return branches


class _Modulations:
    """The modulations of a run, made for a window of its times when the first of them is asked for."""

    def __init__(
        self,
        network: SD3Transformer2DModel,
        conditionings: Mapping[Branch, Conditioning],
        times: tuple[float, ...],
    ) -> None:
        self._network = network
        self._pooled = {name: c.pooled.to(network.device, network.dtype) for name, c in conditionings.items()}
        self._times = list(dict.fromkeys(times))
        self._made: dict[tuple[float, tuple[Branch, ...]], Modulation] = {}

    def __call__(self, t: float, wanted: tuple[Branch, ...]) -> Modulation:
        if (t, wanted) not in self._made:
            start = self._times.index(t) if t in self._times else None
            window = [t] if start is None else self._times[start : start + WINDOW]
            pooled = torch.cat([self._pooled[name] for name in wanted])
            made = modulations(self._network, window, pooled)
            self._made = {(time, wanted): row for time, row in zip(window, made, strict=True)}
        return self._made[t, wanted]


def _ids(tokenizer: CLIPTokenizer | T5Tokenizer, text: str, tokens: int) -> Tensor:
    """(1, tokens): cut and padded to that length."""
    encoded = tokenizer([text], padding="max_length", max_length=tokens, truncation=True, return_tensors="pt")
    return cast(Tensor, encoded.input_ids)
