"""Samplers of the exact flow in the plane: an SDE beside the ODE, and guidance towards one cluster."""

import numpy as np
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.guidance import Branch, Guidance, guided
from sd3demo.flow.marginal_sde import sde_path
from sd3demo.flow.solvers import At
from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

STEPS, FOLLOWED, CLOUD = 60, 10, 200
"""Of each sampler; paths that are drawn, and points whose ends are."""
SEED = 7
TIMES = tuple(1 - k / STEPS for k in range(STEPS + 1))


def beside_the_ode(data: Mixture | Gaussian, eta: float) -> Chart:
    """Plot the ODE's paths and the SDE's from the same noise, and where both lead a cloud of it."""
    ode = sde_path(data, _noise(), TIMES, 0.0)
    sde = sde_path(data, _noise(), TIMES, eta, torch.Generator().manual_seed(SEED + 1))
    return _chart(
        "samplers",
        "Two samplers, the same marginals",
        f"dz = −(v + η E[ε | z]) dτ + √(2ηt) dW, η = {eta:g}; η = 0 is the ODE",
        (
            Curve("SDE", *_paths(sde), "violet", opacity=0.6),
            Curve("ODE", *_paths(ode), "green"),
            Curve("data by the SDE", *_ends(sde), "violet", "dots", opacity=0.6),
            Curve("data by the ODE", *_ends(ode), "green", "dots", opacity=0.6),
        ),
    )


def guided_states(data: Mixture, condition: int, scale: float) -> Tensor:
    """The states at all times, (N + 1, B, 2), of v_u + w (v_c - v_u) by Euler steps.

    v_u is the velocity of the mixture, and v_c that of its component `condition`.
    """
    one = data.components[condition]

    def branches(x: Tensor, at: At, wanted: tuple[Branch, ...]) -> tuple[Tensor, ...]:
        return tuple((one if name == "conditional" else data).velocity(x, at) for name in wanted)

    velocity, states = guided(branches, Guidance(scale)), [_noise()]
    for k in range(STEPS):
        states.append(states[-1] - velocity(states[-1], At(TIMES[k], k, STEPS)) / STEPS)
    return torch.stack(states)


def guidance(data: Mixture, condition: int, scale: float) -> Chart:
    """Plot where guidance towards one component leads, beside the component without guidance."""
    plain, led = guided_states(data, condition, 1.0), guided_states(data, condition, scale)
    return _chart(
        "plane-guidance",
        "Guidance towards one cluster",
        f"v = v_u + w (v_c − v_u), w = {scale:g}; w = 1 draws the cluster itself",
        (
            Curve(f"paths, w = {scale:g}", *_paths(led), "orange"),
            Curve("paths, w = 1", *_paths(plain), "green"),
            Curve(f"data, w = {scale:g}", *_ends(led), "orange", "dots", opacity=0.6),
            Curve("data, w = 1", *_ends(plain), "green", "dots", opacity=0.6),
        ),
    )


def _chart(name: str, title: str, note: str, curves: tuple[Curve, ...]) -> Chart:
    edge = (-3.0, 3.0)
    return Chart(
        name,
        title,
        note,
        Axis("first coordinate", edge),
        Axis("second coordinate", edge),
        curves,
        square=True,
    )


def _noise() -> Tensor:
    return torch.randn((CLOUD, 2), generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)


def _paths(states: Tensor) -> tuple[Numbers, Numbers]:
    """The first few paths, one after another with gaps between."""
    paths = states[:, :FOLLOWED].transpose(0, 1).numpy()  # (FOLLOWED, N + 1, 2)
    gap = np.full((FOLLOWED, 1, 2), np.nan)
    stops = np.concatenate([paths, gap], axis=1).reshape(-1, 2)
    return stops[:, 0], stops[:, 1]


def _ends(states: Tensor) -> tuple[Numbers, Numbers]:
    ends = states[-1].numpy()
    return ends[:, 0], ends[:, 1]
