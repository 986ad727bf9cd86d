"""The picture that a run started from, found again for a receipt that holds its hash alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from sd3demo.history.store import RunStore
from sd3demo.settings import FILES, Resolved

R = TypeVar("R", bound=Resolved)


def with_inputs(request: R, store: RunStore | None, given: Mapping[str, Path | None] | None = None) -> R:
    """Return a stored request with the files of its picture and mask: those given, else the history's.

    What is found nowhere stays out, and a plan says that it is missing.
    """
    files: dict[str, str] = {}
    for name in FILES:
        file = (given or {}).get(name)
        sha256 = str(getattr(request, f"{name}_sha256"))
        if file is None and sha256 and store is not None:
            file = store.input_picture(name, sha256)
        if file is not None:
            files[name] = str(file)
    return request.model_copy(update=files)
