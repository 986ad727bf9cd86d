"""Rectified-flow models behind one protocol, and which file adapts each family."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from sd3demo.catalogue import Family, ModelSpec
from sd3demo.models.protocol import FlowModel

FAMILIES: Mapping[Family, str] = {"sd3": "sd3demo.models.sd3", "exact": "sd3demo.models.exact"}
"""The module of each family; its `load(spec, folder)` reads a checkpoint."""


def load(spec: ModelSpec, folder: Path) -> FlowModel:
    """The model of a spec, read from its folder onto the CPU. Raises Refusal where it cannot be read."""
    loader: Callable[[ModelSpec, Path], FlowModel] = import_module(FAMILIES[spec.family]).load
    return loader(spec, folder)
