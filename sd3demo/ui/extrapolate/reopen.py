"""An extrapolation of a receipt or of the history, as the address of the Extrapolate tab."""

from collections.abc import Mapping

from sd3demo.catalogue import find
from sd3demo.engine import Budget
from sd3demo.engine.plan.plan import plan
from sd3demo.errors import Refusal
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.context import Core
from sd3demo.ui.controls.deep_links import written
from sd3demo.ui.controls.labels import label
from sd3demo.ui.extrapolate.form import NAMES, OPEN, OWN, PARTS, ExtrapolationForm, opening, requested, typed

TAB = "extrapolate"
SIZES = ("2", "4")
NO_MATTER = ("placement", "precision", "large_encoder", "own_picture")
"""What the machine decides, and what no control holds: a picture of one's own is dropped by hand."""


def link(request: ResolvedExtrapolation, core: Core) -> str:
    """The address that sets every control of the tab to make this picture again.

    Raises Refusal where the tab has no control for one of its settings.
    """
    start = opening(find(core.models[0]))
    return written(TAB, held(request), lambda _: start)


def held(request: ResolvedExtrapolation) -> dict[str, object]:
    """What the tab's controls hold for an extrapolation. Raises Refusal where they cannot."""
    spec = find(request.model)
    given = request.model_dump()
    values = opening(spec) | {name: given[name] for name in NAMES if name in given} | {"compare": []}
    for switch, (name, off, on) in PARTS.items():
        values[switch] = given[name] != off
        if name in NAMES and not values[switch]:
            values[name] = on  # what waits behind a switch that is off
    times = f"{request.scale:g}"
    native = (request.native_width, request.native_height) == (spec.native, spec.native)
    values["size"] = times if native and times in SIZES else OWN
    values |= {name: typed(values[name]) for name in OPEN}
    _agree(request, values)
    return values


def _agree(request: ResolvedExtrapolation, values: Mapping[str, object]) -> None:
    """Raises Refusal where what the controls would ask for is another extrapolation."""
    again = list(requested(values).values())[-1]
    resolved = plan(again, find(request.model), Budget()).request
    missing = [
        label(name, ExtrapolationForm).title
        for name in ResolvedExtrapolation.model_fields
        if name not in NO_MATTER and getattr(resolved, name) != getattr(request, name)
    ]
    if missing:
        raise Refusal(f"the Extrapolate tab has no control for its {', '.join(missing)}; Verify can rerun it")
