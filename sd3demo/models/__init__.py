"""Rectified-flow models behind one protocol. `load` reads a checkpoint with the loader of its family."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch

from sd3demo.catalogue import Family, ModelSpec, fingerprint, locate
from sd3demo.models.protocol import FlowModel

__all__ = ["FAMILIES", "fingerprint", "load"]

FamilyLoader: TypeAlias = Callable[[ModelSpec, torch.dtype, frozenset[str]], FlowModel]


def load(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str] | None = None) -> FlowModel:
    """The model of a spec, read onto the CPU. Raises Refusal where it is absent or cannot be read.

    Text encoders outside `components` are left for `FlowModel.load`; None reads all that the spec has.
    """
    wanted = frozenset(spec.components) if components is None else components
    model = FAMILIES[spec.family](spec, dtype, wanted)
    if spec.adapters:
        from sd3demo.models.lora_loading import adapt, adaptable

        adapt(adaptable(model), spec)
    return model


def _sd3(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
    from sd3demo.models.sd3.loading import load

    return load(spec, locate(spec), dtype, components)


def _flux(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
    from sd3demo.models.flux.loading import load

    return load(spec, locate(spec), dtype, components)


def _lumina_next(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
    from sd3demo.models.lumina_next.loading import load

    return load(spec, locate(spec), dtype, components)


def _lumina2(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
    from sd3demo.models.lumina2.loading import load

    return load(spec, locate(spec), dtype, components)


def _exact(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
    from sd3demo.models.exact import Exact

    return Exact(spec)


FAMILIES: Mapping[Family, FamilyLoader] = {
    "sd3": _sd3,
    "flux": _flux,
    "lumina-next": _lumina_next,
    "lumina2": _lumina2,
    "exact": _exact,
}
"""The loader of each family; what it imports is imported when a model of that family is first wanted."""
