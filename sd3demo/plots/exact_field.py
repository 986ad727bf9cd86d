"""The exact field in the plane at a time t: p_t, v, and the lines whose mean v is at one point."""

from dataclasses import dataclass

import numpy as np
import torch

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.posterior_lines import PosteriorLines, posterior_lines
from sd3demo.flow.solvers import At
from sd3demo.plots.chart import Axis, Chart, Contours, Curve, Numbers

EDGE = 3.0
LEVELS, ARROWS = 61, 15
"""Points of the density's grid along an axis, and arrows along one."""
SHOWN = 0.02  # the least share of a component whose lines are drawn
HEAD = 0.35  # of an arrow's length


@dataclass(frozen=True, eq=False)
class FieldGrids:
    """p_t on a grid and v on a coarser one, as the chart draws them."""

    places: Numbers  # (LEVELS,)
    density: Numbers  # (LEVELS, LEVELS), rows along the second coordinate
    starts: Numbers  # (ARROWS^2, 2)
    velocity: Numbers  # (ARROWS^2, 2)


def grids(data: Mixture | Gaussian, t: float) -> FieldGrids:
    """Return density and velocity of the exact flow at a time t; at t = 0 of the data themselves."""
    places = torch.linspace(-EDGE, EDGE, LEVELS, dtype=torch.float64)
    density = data.log_density(_square(places), t).exp().reshape(LEVELS, LEVELS)
    inner = torch.linspace(-EDGE, EDGE, ARROWS + 2, dtype=torch.float64)[1:-1]
    starts = _square(inner)
    velocity = data.velocity(starts, At(t, 0, 1))
    return FieldGrids(places.numpy(), density.numpy(), starts.numpy(), velocity.numpy())


def field(data: Mixture | Gaussian, z: tuple[float, float], t: float) -> Chart:
    """Plot the field at t, and the lines through z with their mean: strong lines are probable ones."""
    lines = posterior_lines(data, torch.tensor(z, dtype=torch.float64), t)
    found = grids(data, t)
    return Chart(
        "field",
        f"The field at t = {t:.2f}",
        "v = E[ε − x₀ | z], SD3 eq. 6 and 13; click to move z",
        Axis("first coordinate", (-EDGE, EDGE)),
        Axis("second coordinate", (-EDGE, EDGE)),
        (
            Curve("v", *_arrows(found.starts, found.velocity), "grey"),
            *_bundles(lines),
            Curve("their mean", *_mean(lines), "orange", strong=True),
            Curve("z", *_points(lines.z[None].numpy()), "orange", "dots", strong=True),
        ),
        square=True,
        contours=Contours(f"p at t = {t:.2f}", found.places, found.places, found.density, "violet"),
    )


def loss_parts(
    levels: Numbers, irreducible: Numbers, excess: Numbers | None = None, name: str = "loss-parts"
) -> Chart:
    """Plot the loss by t: what cannot be learned, and what a network still has to learn."""
    curves = [Curve("cannot be learned", levels, irreducible, "grey", "dots")]
    if excess is not None:
        curves.append(Curve("left to learn", levels, excess, "green", "dots", strong=True))
    return Chart(
        name,
        "The loss in two parts",
        "E Var(ε − x₀ | z) and E‖v_θ − v‖², exact; SD3 section 3.1",
        Axis("time t  (0 data, 1 noise)", (0, 1.05)),
        Axis("loss"),
        tuple(curves),
    )


def _bundles(lines: PosteriorLines) -> list[Curve]:
    """A curve for each component, its lines from data to noise with gaps between."""
    curves = []
    for k, share in enumerate(lines.shares.tolist()):
        if share < SHOWN:
            continue
        gap = torch.full_like(lines.x0[k], float("nan"))
        stops = torch.stack([lines.x0[k], lines.eps[k], gap], 1).reshape(-1, 2).numpy()
        name = f"lines, {100 * share:.0f}%"
        curves.append(Curve(name, stops[:, 0], stops[:, 1], "blue", opacity=max(share, 0.15)))
    return curves


def _mean(lines: PosteriorLines) -> tuple[Numbers, Numbers]:
    """The line along the velocity, from its mean data to its mean noise."""
    ends = torch.stack([lines.z - lines.t * lines.velocity, lines.z + (1 - lines.t) * lines.velocity]).numpy()
    return ends[:, 0], ends[:, 1]


def _arrows(starts: Numbers, velocity: Numbers) -> tuple[Numbers, Numbers]:
    """Arrows against v, the way a sampler goes, the longest as long as the grid is wide; (n, 2) both."""
    longest = float(np.linalg.norm(velocity, axis=1).max()) or 1.0
    moves = -velocity * (2 * EDGE / (ARROWS + 1) / longest)
    ends = starts + moves
    across = np.stack([-moves[:, 1], moves[:, 0]], 1)
    barbs = [ends - HEAD * (moves + side * 0.6 * across) for side in (1, -1)]
    gap = np.full_like(starts, np.nan)
    stops = np.stack([starts, ends, barbs[0], ends, barbs[1], gap], 1).reshape(-1, 2)
    return stops[:, 0], stops[:, 1]


def _points(places: Numbers) -> tuple[Numbers, Numbers]:
    return places[:, 0], places[:, 1]


def _square(places: torch.Tensor) -> torch.Tensor:
    """(n^2, 2): the points of a square grid, row by row along the second coordinate."""
    up, across = torch.meshgrid(places, places, indexing="ij")
    return torch.stack([across, up], -1).reshape(-1, 2)
