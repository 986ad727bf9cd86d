"""Rectified-flow models behind one protocol. `load` reads a checkpoint with the loader of its family."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from sd3demo.catalogue import Family, ModelSpec, locate
from sd3demo.catalogue.weights import weights_hash
from sd3demo.models.protocol import FlowModel


def load(spec: ModelSpec, dtype: torch.dtype) -> FlowModel:
    """The model of a spec, read onto the CPU. Raises Refusal where it is absent or cannot be read."""
    return FAMILIES[spec.family](spec, dtype)


def fingerprint(spec: ModelSpec) -> str:
    """The hash of a model's weights, by which a receipt knows them again."""
    folders = [spec.folder_of(component) for component in spec.components]
    return weights_hash(locate(spec) if folders else Path(), folders)


def _sd3(spec: ModelSpec, dtype: torch.dtype) -> FlowModel:
    from sd3demo.models.loading import load

    return load(spec, locate(spec), dtype)


def _exact(spec: ModelSpec, dtype: torch.dtype) -> FlowModel:
    from sd3demo.models.exact import Exact

    return Exact(spec)


FAMILIES: Mapping[Family, Callable[[ModelSpec, torch.dtype], FlowModel]] = {"sd3": _sd3, "exact": _exact}
"""The loader of each family; what it imports is imported when a model of that family is first wanted."""
