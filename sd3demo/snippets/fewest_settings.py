"""The fewest settings that ask for a run again: those that differ from what its model takes by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Budget, plan
from sd3demo.errors import Refusal
from sd3demo.settings import FILES, Request, Resolved, parse
from sd3demo.settings.extrapolation import Extrapolation, ResolvedExtrapolation, with_preset

FIRST = ("prompt", "model", "scale", "method")
"""What is said in any case, the model only where it is not the one that is taken by itself."""
NO_MATTER = frozenset({"placement"})
"""What changes no picture."""
OF_FILES = frozenset({*FILES, "lora", "upscaler"})
"""Settings that name files, which this machine may not have: no plan is asked about them."""
ROUNDS = 4  # a setting may change what another one takes by itself


@dataclass(frozen=True)
class FewestSettings:
    """The settings by name, for `kind`; `files` are the settings that name a picture, which whoever runs the
    code has to have, and `own` is whether a picture of one's own was enlarged."""

    kind: type[Request]
    settings: Mapping[str, object]
    files: Mapping[str, str] = field(default_factory=dict)
    own: bool = False


@lru_cache(maxsize=16)  # several snippets are of one run
def fewest_settings(request: Resolved, preset: str = "") -> FewestSettings:
    """Return the settings that a request can be asked for with, over a preset if one is named.

    Of a model that is not here they are all that differ from the defaults.
    """
    kind: type[Request] = Extrapolation if isinstance(request, ResolvedExtrapolation) else Request
    wanted = {
        name: getattr(request, name)
        for name in kind.model_fields
        if name not in NO_MATTER and name not in FILES
    }
    asked = {name: wanted[name] for name in FIRST if name in wanted}
    try:
        spec = find(request.model)
        for _ in range(ROUNDS):
            missing = _missing(asked, wanted, kind, spec, preset)
            if not missing:
                break
            asked |= missing
    except Refusal:  # of a model that is not here, or that has changed
        asked |= {name: value for name, value in wanted.items() if value != kind.model_fields[name].default}
    asked |= {name: wanted[name] for name in OF_FILES & wanted.keys() if wanted[name]}
    if asked["model"] == Request.model_fields["model"].default:
        del asked["model"]
    files = {
        name: f"{name}.png" for name in FILES if getattr(request, f"{name}_sha256", "") and not _own(request)
    }
    ordered = {name: asked[name] for name in (*FIRST, *kind.model_fields) if name in asked}
    return FewestSettings(kind, ordered, files, _own(request))


def _missing(
    asked: Mapping[str, object],
    wanted: Mapping[str, object],
    kind: type[Request],
    spec: ModelSpec,
    preset: str,
) -> dict[str, object]:
    """Return the settings that would come out otherwise from what is asked for so far."""
    request = parse(kind, {name: asked[name] for name in asked if name not in OF_FILES})
    if preset and isinstance(request, Extrapolation):
        request = with_preset(request, preset, spec.family)
    found = plan(request, spec, Budget()).request
    return {
        name: value
        for name, value in wanted.items()
        if name not in OF_FILES and name not in asked and getattr(found, name) != value
    }


def _own(request: Resolved) -> bool:
    return bool(getattr(request, "own_picture", ""))
