"""Reading a component's folder into a module, for all families: safetensors only, and nothing missing.

A component whose file lacks a weight would be filled with random numbers by the libraries, with a warning;
here it is refused.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import torch
from diffusers import ModelMixin
from safetensors import SafetensorError
from torch import nn

from sd3demo.catalogue.weight_files import measure, variant_of
from sd3demo.errors import Refusal

log = logging.getLogger(__name__)


class Loadable(Protocol):
    """A class of diffusers or transformers that reads a folder."""

    def from_pretrained(self, folder: str, /, **settings: object) -> object: ...


NONE: Mapping[str, object] = {}


def read_module(
    kind: Loadable, folder: Path, dtype: torch.dtype, arguments: Mapping[str, object] = NONE
) -> nn.Module:
    """A component with its weights, on the CPU unless the library's `arguments` say otherwise.

    Raises Refusal for pickled, truncated or incomplete files.
    """
    measure(folder)  # refuses what is pickled or truncated, before a library opens it
    name = "torch_dtype" if issubclass(cast(type, kind), ModelMixin) else "dtype"
    try:
        loaded = kind.from_pretrained(
            str(folder),
            use_safetensors=True,
            variant=variant_of(folder) or None,
            local_files_only=True,
            output_loading_info=True,
            **{name: dtype, **arguments},
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise Refusal(f"{folder} cannot be read: {_first_line(error)}") from error
    module, info = cast("tuple[nn.Module, dict[str, list[str]]]", loaded)
    if info.get("missing_keys"):
        missing = sorted(info["missing_keys"])
        raise Refusal(
            f"{folder} lacks the weights {missing[0]} and {len(missing) - 1} more; copy it again, whole"
        )
    if unread := sorted(info.get("unexpected_keys") or ()):
        log.warning(
            "%s holds weights that its config has no place for and that are not used: %s%s",
            folder,
            unread[0],
            f" and {len(unread) - 1} more" if len(unread) > 1 else "",
        )
    return module.eval().requires_grad_(False)


def read_configured(kind: Loadable, folder: Path) -> object:
    """What is read from a folder without any weights: a tokenizer or a config."""
    try:
        return kind.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise Refusal(f"{folder} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """The libraries draw a bar for each file; what loads is said by the engine's events."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = [(name, logging.getLogger(name).level) for name in ("diffusers", "transformers")]
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    for name, _ in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels:
            logging.getLogger(name).setLevel(level)
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()
