"""What a person sets in the density lab, and the charts that follow from it: pure, and light until asked.

The plots bring in torch and plotly, so they are imported by whoever first asks for a chart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Budget, Plan, plan
from sd3demo.errors import Refusal
from sd3demo.flow.grids import Convention, resolution_shift
from sd3demo.settings import Request, Settings, Shift, Steps, parse

if TYPE_CHECKING:
    from sd3demo.flow.densities import Density
    from sd3demo.plots.chart import Chart

Named = Literal["uniform", "logit-normal", "mode", "cosmap"]
Pixels = Annotated[int, Field(ge=1, le=2**30)]
Location = Annotated[float, Field(ge=-5, le=5)]
Scale = Annotated[float, Field(ge=0.05, le=5)]
ModeScale = Annotated[float, Field(ge=-1, le=2 / (math.pi - 2))]

COLOURS: Mapping[Named, str] = {
    "uniform": "grey",
    "logit-normal": "green",
    "mode": "orange",
    "cosmap": "violet",
}
TITLES: Mapping[Named, str] = {
    "uniform": "Uniform",
    "logit-normal": "Logit-normal",
    "mode": "Mode",
    "cosmap": "CosMap",
}


class DensitySettings(Settings):
    """Everything that moves a plot of the lab."""

    densities: tuple[Named, ...] = Field(
        ("logit-normal", "mode", "cosmap"), description="Several can lie over one another."
    )
    m: Location = Field(0.0, description="Below 0 leans to the data, above 0 to the noise.")
    s: Scale = Field(1.0, description="Small gathers the times, large spreads them.")
    mode_s: ModeScale = Field(
        1.29, description="Above 0 the middle, below 0 the ends; beyond [−1, 2/(π−2)] it turns back."
    )
    pixels: Pixels = Field(1024**2, description="m, of the pictures that are wanted: width × height.")
    native: Pixels = Field(256**2, description="n, of the pictures before: width × height.")
    shift: Shift = Field(
        3.0, description="α of eq. 23. At 1024 px people preferred more than 1.5, and SD3 chose 3."
    )
    steps: Steps = Field(28, description="Of the sampler, from noise to data.")
    schedule: Convention = Field("uniform", description="The convention that places the times.")
    trained_shifted: bool = Field(True, description="Off: trained before the shift, sampled after it.")


@dataclass(frozen=True)
class PaperDensity:
    """A density of SD3's table 1: its name there, its rank over all settings, at 5 and at 50 steps."""

    variant: str
    values: Mapping[str, float | str]
    rank: float
    rank_5: float
    rank_50: float


# SD3 paper, table 1: the mean rank by non-dominated sorting among 61 formulations, over two data sets,
# weights with and without averaging, and several settings of the sampler; 1 is best.  Its rectified flows.
PRESETS = (
    PaperDensity("rf/lognorm(0.00, 1.00)", {"density": "logit-normal", "m": 0.0, "s": 1.0}, 1.54, 1.25, 1.50),
    PaperDensity("rf/lognorm(1.00, 0.60)", {"density": "logit-normal", "m": 1.0, "s": 0.6}, 2.08, 3.50, 2.00),
    PaperDensity("rf/lognorm(0.50, 0.60)", {"density": "logit-normal", "m": 0.5, "s": 0.6}, 2.71, 8.50, 1.00),
    PaperDensity("rf/mode(1.29)", {"density": "mode", "mode_s": 1.29}, 2.75, 3.25, 3.00),
    PaperDensity("rf/lognorm(0.50, 1.00)", {"density": "logit-normal", "m": 0.5, "s": 1.0}, 2.83, 1.50, 2.50),
    PaperDensity("rf/mode(1.75)", {"density": "mode", "mode_s": 1.75}, 3.33, 2.75, 2.75),
    PaperDensity("rf/cosmap", {"density": "cosmap"}, 4.13, 3.75, 4.00),
    PaperDensity("rf (uniform)", {"density": "uniform"}, 5.67, 6.50, 5.75),
)


def named(lab: DensitySettings) -> dict[str, Density]:
    """The chosen densities under the names that a plot shows. Raises Refusal when none is chosen."""
    if not lab.densities:
        raise Refusal(f"no density is chosen; tick one of {', '.join(TITLES.values())}")
    return {label(lab, name): density(lab, name) for name in lab.densities}


def density(lab: DensitySettings, name: Named) -> Density:
    """One density with the lab's parameters."""
    from sd3demo.flow.densities import CosMap, LogitNormal, Mode, Uniform

    match name:
        case "uniform":
            return Uniform()
        case "logit-normal":
            return LogitNormal(lab.m, lab.s)
        case "mode":
            return Mode(lab.mode_s)
        case "cosmap":
            return CosMap()


def label(lab: DensitySettings, name: Named) -> str:
    match name:
        case "logit-normal":
            return f"logit-normal({lab.m:g}, {lab.s:g})"
        case "mode":
            return f"mode({lab.mode_s:.4g})"
        case _:
            return TITLES[name]


def charts(lab: DensitySettings, times: Mapping[Convention, Sequence[float]]) -> dict[str, Chart]:
    """Every chart that a control moves, by its name; `times` are the sampler's, in every convention."""
    from sd3demo.flow.densities import Shifted
    from sd3demo.plots import densities, schedules
    from sd3demo.plots import loss_weights as weights

    chosen = named(lab)
    colours = {label(lab, name): COLOURS[name] for name in lab.densities}
    trained = {name: Shifted(one, lab.shift) for name, one in chosen.items()}
    when = "shifted" if lab.trained_shifted else "not"
    drawn = (
        densities.pdfs(chosen, colours),
        densities.cdfs(chosen, colours),
        densities.shifted_pdfs(chosen, lab.shift, colours),
        densities.log_snr_pdfs(chosen, lab.shift, colours),
        weights.weights(chosen, colours),
        densities.masses(
            trained if lab.trained_shifted else chosen,
            times[lab.schedule],
            colours,
            note=f"{lab.schedule}, α = {lab.shift:.3g}, SD3 eq. 23; training {when}",
        ),
        schedules.schedules(times, lab.schedule, lab.shift),
        schedules.tails(times, lab.schedule, lab.shift),
    )
    return {chart.name: chart for chart in drawn}


def fixed() -> dict[str, Chart]:
    """The charts that nothing moves."""
    from sd3demo.plots import loss_weights as weights

    return {chart.name: chart for chart in (weights.amplitudes(), weights.log_snrs())}


def planned(lab: DensitySettings, spec: ModelSpec) -> Plan:
    """The plan of a run with the lab's steps, shift and schedule: its sigmas are what a sampler gets."""
    values: dict[str, object] = {"prompt": "-", "model": spec.name}
    values |= {"steps": lab.steps, "shift": lab.shift, "schedule": lab.schedule}
    return plan(parse(Request, values), spec, Budget())


def eq_23(pixels: int, native: int) -> float:
    """alpha for m and n pixels, as far as it can be set."""
    return min(max(resolution_shift(pixels, native), 0.1), 100.0)
