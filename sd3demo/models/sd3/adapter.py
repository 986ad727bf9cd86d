"""Stable Diffusion 3 and 3.5: any folder with an `SD3Transformer2DModel`, behind the project's protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from torch import Tensor, nn

from sd3demo.catalogue import EncoderInput, ModelSpec, Part, TextEncoder
from sd3demo.models.context_parallel import parallel_of
from sd3demo.models.encoding import load_missing, loaded, loaded_components, running, text_modules, text_of
from sd3demo.models.lora import lora_state
from sd3demo.models.offloading import bring, stays, streaming_hook
from sd3demo.models.protocol import Conditioning, Dials, Rows, TokenWords
from sd3demo.models.sd3 import attention_maps, streamed, text_encoders, token_words
from sd3demo.models.sd3.network_call import Resident, network_call
from sd3demo.models.sd3.streamed import Streamed
from sd3demo.models.sd3.text_encoders import CLIPS, ClipWidths, LoadedEncoder, SD3Text
from sd3demo.models.sd3.transformer import MMDiT, lay_out
from sd3demo.models.vae import decoded, encoded

EncoderReader: TypeAlias = Callable[[TextEncoder], LoadedEncoder]
"""Reads one text encoder from the checkpoint's folder."""


@dataclass(eq=False)
class SD3:
    """The parts of a checkpoint, and what they do together. Text encoders may come later, by `load`."""

    spec: ModelSpec
    transformer: SD3Transformer2DModel
    vae: AutoencoderKL
    widths: Mapping[str, ClipWidths]
    read_encoder: EncoderReader
    dtype: torch.dtype
    encoders: dict[str, LoadedEncoder] = field(default_factory=dict)
    _layout: tuple[tuple[object, ...], MMDiT] | None = None

    @property
    def parts(self) -> Mapping[Part, nn.Module]:
        text = text_modules(self.spec, self.encoders)
        return {"text": text, "flow": self.transformer, "vae": self.vae}

    @property
    def components(self) -> frozenset[str]:
        return loaded_components(self.spec, self.encoders)

    def load(self, components: Iterable[str]) -> Mapping[str, nn.Module]:
        return load_missing(self.spec, components, self.encoders, self.read_encoder)

    def encode(self, inputs: tuple[EncoderInput, ...]) -> SD3Text:
        return text_encoders.encode(self.spec, self.encoders, self.widths, inputs, self.dtype)

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        own = cast("Sequence[SD3Text]", texts)
        if streaming_hook(self.transformer) is not None or parallel_of(self.transformer) is not None:
            evaluate: Resident | Streamed = Streamed(self.transformer, own, dials)
        else:
            evaluate = Resident(self.transformer, self._layers(), own, dials)
        return network_call(self.transformer, evaluate, own, dials)

    def words(self, inputs: tuple[EncoderInput, ...]) -> TokenWords:
        given = text_encoders.by_encoder(self.spec, inputs)

        def tokens_of(each: EncoderInput) -> list[token_words.Token]:
            if not running(self.spec, each):
                return token_words.zeros(each.tokens)
            tokenizer = loaded(self.spec, self.encoders, each.encoder).tokenizer
            return token_words.read(tokenizer, text_of(each), each.tokens)

        clips = [tokens_of(given[name]) for name in CLIPS if given[name].runs]
        t5 = given.get("t5")
        return token_words.reading(
            clips or [token_words.zeros(given[CLIPS[0]].tokens)],
            [] if t5 is None or t5.mode == "omit" else tokens_of(t5),
        )

    def attention(
        self, x: Tensor, t: float, conditioning: Conditioning, groups: Tensor, blocks: Sequence[int]
    ) -> Iterator[Tensor]:
        own = cast(SD3Text, conditioning)
        if streaming_hook(self.transformer) is not None:
            return streamed.attention(self.transformer, x, t, own, groups=groups, blocks=blocks)
        return attention_maps.of_network(
            self.transformer, self._layers(), x, t, own, groups=groups, blocks=blocks
        )

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return encoded(self.vae, image, noise)

    def to_image(self, latent: Tensor) -> Tensor:
        return decoded(self.vae, latent)

    def _layers(self) -> MMDiT:
        """The transformer's layers where they are; kept while neither hooks nor LoRAs change them."""
        bring(self.transformer)
        if not stays(self.transformer):
            return lay_out(self.transformer)
        state = lora_state(self.transformer)
        if self._layout is None or self._layout[0] != state:
            self._layout = None  # packed weights are copies: the old ones go first
            self._layout = state, lay_out(self.transformer)
        return self._layout[1]
