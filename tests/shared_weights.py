"""The embedded model read once for many runs of a test process, as a page reads it once for its visitors.

Each run has an engine of its own all the same: its texts are encoded, and its receipt is that of a first run.
"""

from functools import cache

import torch

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.run.previews import fit
from sd3demo.models import load
from sd3demo.models.protocol import FlowModel

_read: dict[tuple[str, torch.dtype, frozenset[str]], FlowModel] = {}


def load_once(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> FlowModel:
    """Read a model that ships; any other, or one with a LoRA, is read anew."""
    if spec.folder or spec.adapters or spec.name not in ("tiny", "tiny-sizes"):
        return load(spec, dtype, components)
    key = (repr(spec), dtype, components)
    if key not in _read:
        _read[key] = load(spec, dtype, components)
    return _read[key]


fit_once = cache(fit)
