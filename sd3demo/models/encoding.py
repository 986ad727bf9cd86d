"""Text encoders, as far as families share them: token ids, T5, and which of them run for a text."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer, T5EncoderModel, T5Tokenizer

from sd3demo.catalogue import EncoderInput, ModelSpec, TextEncoder
from sd3demo.catalogue.tokenizer_files import folder_of_tokenizer
from sd3demo.models.low_bits import encoder_dtype, in_few_bits, reading_arguments
from sd3demo.models.offloading import works_on
from sd3demo.models.reading import read_configured
from sd3demo.models.single_file import read_component

Encoder = TypeVar("Encoder")


class LoadedModule(Protocol):
    """A text encoder that has been read."""

    @property
    def model(self) -> nn.Module: ...


Loaded = TypeVar("Loaded", bound=LoadedModule)


@dataclass(frozen=True, eq=False)
class T5Encoder:
    """The T5 encoder and its tokenizer."""

    model: T5EncoderModel
    tokenizer: T5Tokenizer

    def __call__(self, text: str, tokens: int) -> Tensor:
        """(1, tokens, D), padding included: the transformer attends to it."""
        return self.model(token_ids(self.tokenizer, text, tokens).to(works_on(self.model)))[0]


def text_modules(spec: ModelSpec, encoders: Mapping[str, LoadedModule]) -> nn.ModuleList:
    """The text encoders that are loaded, in the order of the spec."""
    return nn.ModuleList(encoders[each.name].model for each in spec.encoders if each.name in encoders)


def loaded_components(spec: ModelSpec, encoders: Mapping[str, LoadedModule]) -> frozenset[str]:
    """The components of a model whose text encoders may come later."""
    texts = {each.folder for each in spec.encoders if each.name in encoders}
    return frozenset({"transformer", "vae"} | texts)


def read_t5(spec: ModelSpec, folder: Path, dtype: torch.dtype, encoder: TextEncoder) -> T5Encoder:
    """The T5 of a checkpoint with its tokenizer, on the CPU. Raises Refusal for files that cannot be read."""
    large = spec.large_encoder
    model = in_few_bits(
        read_component(
            T5EncoderModel,
            spec,
            folder,
            encoder.folder,
            encoder_dtype(large, dtype),
            reading_arguments(large, dtype),
        ),
        large,
    )
    tokenizer = read_configured(T5Tokenizer, folder / folder_of_tokenizer(encoder.folder))
    return T5Encoder(cast(T5EncoderModel, model), cast(T5Tokenizer, tokenizer))


def running(spec: ModelSpec, given: EncoderInput) -> bool:
    """Whether an encoder computes something; one that the checkpoint does not carry gives zeros."""
    return given.runs and spec.has(given.encoder)


def text_of(given: EncoderInput) -> str:
    """The text that an encoder reads, which in the mode `empty` is none."""
    return "" if given.mode == "empty" else given.text


def loaded(spec: ModelSpec, encoders: Mapping[str, Encoder], name: str) -> Encoder:
    """An encoder that has to run. Raises ValueError where it is not loaded."""
    if name not in encoders:
        folder = spec.encoder(name).folder
        raise ValueError(f"{name} is to run and is not loaded; call load([{folder!r}]) first")
    return encoders[name]


def load_missing(
    spec: ModelSpec,
    components: Iterable[str],
    encoders: dict[str, Loaded],
    read: Callable[[TextEncoder], Loaded],
) -> dict[str, nn.Module]:
    """Read the text encoders among these components that are missing into `encoders`.

    Returns the new modules by component. Raises ValueError for a component that the spec does not have.
    """
    asked = frozenset(components)
    if unknown := sorted(asked - frozenset(spec.components)):
        raise ValueError(
            f"{unknown[0]} is no component of {spec.name}; choose among {', '.join(spec.components)}"
        )
    added: dict[str, nn.Module] = {}
    with torch.inference_mode(False):  # weights stay ordinary tensors
        for each in spec.encoders:
            if each.folder in asked and each.name not in encoders:
                encoders[each.name] = read(each)
                added[each.folder] = encoders[each.name].model
    return added


def token_ids(tokenizer: CLIPTokenizer | T5Tokenizer, text: str, tokens: int) -> Tensor:
    """(1, tokens): cut and padded to that length."""
    encoded = tokenizer([text], padding="max_length", max_length=tokens, truncation=True, return_tensors="pt")
    return cast(Tensor, encoded.input_ids)
