"""`/densities`, the endpoint for programs: one density at evenly spaced times, as the plots show it."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from pydantic import Field, JsonValue

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, parse
from sd3demo.ui.api.endpoint import ApiEndpoint
from sd3demo.ui.api.parameters import ApiParameter
from sd3demo.ui.context import Core
from sd3demo.ui.densities import settings as lab

MOST = 10_000  # points of an answer
PARAMETERS = (
    ApiParameter(
        "density",
        Literal[tuple(lab.TITLES)],
        "Density",
        "Of the training times (SD3 paper, section 3.1).",
        "logit-normal",
    ),
    ApiParameter("m", float, "Location", "Of the logit-normal.", 0.0),
    ApiParameter(
        "s", float | None, "Scale", "Of the logit-normal, 1 by default, or of mode sampling, 1.29 by default."
    ),
    ApiParameter("alpha", float, "Shift", "The resolution-dependent shift of eq. 23; 1 is none.", 1.0),
    ApiParameter(
        "points",
        int,
        "Points",
        "How many times t: the middles of as many equal parts of (0, 1); t = 1 is noise.",
        200,
    ),
)


class PointCount(Settings):
    """How many times an answer has."""

    points: int = Field(ge=1, le=MOST)


class CurvesAnswer(TypedDict):
    """What `/densities` answers: lists of one length; null where a value is infinite."""

    name: str
    t: list[float]
    pdf: list[float | None]
    cdf: list[float | None]
    weight: list[float | None]
    log_snr: list[float]
    log_snr_pdf: list[float | None]


def densities(core: Core) -> ApiEndpoint:
    """The endpoint of curves."""

    def answer(values: Mapping[str, JsonValue]) -> CurvesAnswer:
        name, scale, points = (values[one] for one in ("density", "s", "points"))
        count = parse(PointCount, {"points": points}).points
        if name not in tuple(lab.TITLES):  # of a tuple, since a client may send a list
            raise Refusal(f"unknown density {name!r}; choose one of {', '.join(lab.TITLES)}")
        settings: dict[str, object] = {"densities": (name,), "m": values["m"], "shift": values["alpha"]}
        if scale is not None:
            settings["mode_s" if name == "mode" else "s"] = scale
        return _curves(parse(lab.DensitySettings, settings), count)

    return ApiEndpoint(
        "densities",
        "A density of the training time: how often each noise level is trained, and the weight it equals.",
        PARAMETERS,
        {"Curves": CurvesAnswer},
        answer,
        names={"shift": "alpha", "mode_s": "s"},
    )


def _curves(chosen: lab.DensitySettings, points: int) -> CurvesAnswer:
    import torch

    from sd3demo.flow.densities import Shifted
    from sd3demo.flow.paths import PATHS
    from sd3demo.flow.weights import effective_weight

    ((name, plain),) = lab.named(chosen).items()
    shifted = Shifted(plain, chosen.shift)
    t = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    path = PATHS["rectified"]
    return CurvesAnswer(
        name=name,
        t=t.tolist(),
        pdf=_finite(shifted.pdf(t).tolist()),
        cdf=_finite(shifted.cdf(t).tolist()),
        weight=_finite(effective_weight(shifted, t).tolist()),
        log_snr=path.log_snr(t).tolist(),
        log_snr_pdf=_finite((shifted.pdf(t) / -path.log_snr_slope(t)).tolist()),
    )


def _finite(values: Sequence[float]) -> list[float | None]:
    """JSON has no infinity."""
    return [value if math.isfinite(value) else None for value in values]
