"""Rectified-flow models behind one protocol. `load` reads a checkpoint with the loader of its family."""

from collections.abc import Callable, Mapping

import torch

from sd3demo.catalogue import Family, ModelSpec, fingerprint, locate
from sd3demo.models.protocol import FlowModel

__all__ = ["FAMILIES", "fingerprint", "load"]


def load(spec: ModelSpec, dtype: torch.dtype) -> FlowModel:
    """The model of a spec, read onto the CPU. Raises Refusal where it is absent or cannot be read."""
    return FAMILIES[spec.family](spec, dtype)


def _sd3(spec: ModelSpec, dtype: torch.dtype) -> FlowModel:
    from sd3demo.models.sd3.loading import load

    return load(spec, locate(spec), dtype)


def _exact(spec: ModelSpec, dtype: torch.dtype) -> FlowModel:
    from sd3demo.models.exact import Exact

    return Exact(spec)


FAMILIES: Mapping[Family, Callable[[ModelSpec, torch.dtype], FlowModel]] = {"sd3": _sd3, "exact": _exact}
"""The loader of each family; what it imports is imported when a model of that family is first wanted."""
