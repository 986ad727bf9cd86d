"""What a person should know of settings that are allowed and seldom meant, a sentence each."""

import re
from collections.abc import Iterator

from sd3demo.catalogue import ModelSpec
from sd3demo.settings import Resolved

WEIGHTED = re.compile(r"\([^()]+:\s*\d+(?:\.\d+)?\)")
"""A weight on words as other programs write it, `(word:1.3)`."""
TEXTS = ("prompt", "prompt_2", "prompt_3", "negative")


def cautions(request: Resolved, spec: ModelSpec) -> Iterator[str]:
    """Yield them: weights in the texts, and layers skipped in a model that was not released so."""
    for name in TEXTS:
        if found := WEIGHTED.search(getattr(request, name)):
            yield f"{name} has {found.group()}; no weights on words are applied: it is read as plain text"
    if request.skip_scale and not spec.can.skip_layers:
        yield (
            f"skip-layer guidance is SD3.5-medium's and {spec.name} was not released with it; it can ruin "
            "the picture: compare with skip_scale 0"
        )
