"""`/densities`, the endpoint for programs: one density at evenly spaced times, as the plots show it."""

import math
from collections.abc import Sequence
from typing import TypedDict

import gradio as gr
from gradio.events import api
from pydantic import Field

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, parse
from sd3demo.ui.densities import settings as lab
from sd3demo.ui.generate.stream import sentence

MOST = 10_000  # points of an answer


class Points(Settings):
    """How many times an answer has."""

    points: int = Field(ge=1, le=MOST)


class Curves(TypedDict):
    """What `/densities` answers: lists of one length; null where a value is infinite."""

    name: str
    t: list[float]
    pdf: list[float | None]
    cdf: list[float | None]
    weight: list[float | None]
    log_snr: list[float]
    log_snr_pdf: list[float | None]


def curves() -> None:
    """The endpoint."""

    def densities(
        density: str = "logit-normal",
        m: float = 0.0,
        s: float | None = None,
        alpha: float = 1.0,
        points: int = 200,
    ) -> Curves:
        """A density of the training time: how often each noise level is practised, and the weight it equals.

        Args:
            density: "uniform", "logit-normal", "mode" or "cosmap" (SD3 paper, section 3.1).
            m: Location of the logit-normal.
            s: Scale of the logit-normal (1 by default) or of mode sampling (1.29 by default).
            alpha: Resolution-dependent shift (eq. 23) that is applied to it; 1 is none.
            points: How many times t, the middles of as many equal parts of (0, 1); t = 1 is noise.
        """
        scale = {} if s is None else {"mode_s" if density == "mode" else "s": s}
        try:
            count = parse(Points, {"points": points}).points
            if density not in tuple(lab.TITLES):  # of a tuple, since a client may send a list
                raise Refusal(f"unknown density {density!r}; choose one of {', '.join(lab.TITLES)}")
            chosen = parse(lab.Lab, {"densities": (density,), "m": m, "shift": alpha} | scale)
            return _curves(chosen, count)
        except Exception as error:
            raise gr.Error(
                sentence(error, {"shift": "alpha", "mode_s": "s"}), print_exception=False
            ) from error

    api(densities, api_name="densities", queue=False)


def _curves(chosen: lab.Lab, points: int) -> Curves:
    import torch

    from sd3demo.flow.densities import Shifted
    from sd3demo.flow.paths import PATHS
    from sd3demo.flow.weights import effective_weight

    ((name, plain),) = lab.named(chosen).items()
    shifted = Shifted(plain, chosen.shift)
    t = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    path = PATHS["rectified"]
    return Curves(
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
