"""Formulations that SD3's table 1 ranks, trained on points in the plane: path, output and density of t.

All have one network, optimiser and batches: what is drawn from a seed, points, noise and quantiles of t, is
the same for each. The loss is a plain squared error of the output, so that the weight w_t is the one in
sections 2 and 3 (`flow.weights`). A step of the sampler takes both ends from the output and moves along the
path between them, z_s = a_s x0 + b_s eps: Euler for the rectified flow and EDM, DDIM for the others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from sd3demo.errors import Failure
from sd3demo.flow.densities import CosMap, Density, LogitNormal, Mode, Uniform
from sd3demo.flow.path_steps import LARGEST, SMALLEST, path_times
from sd3demo.flow.paths import EDM, Cosine, Ends, LDMLinear, Path, Rectified
from sd3demo.training.toy_data import Points
from sd3demo.training.toy_flow import BATCH, LEARNING_RATE, Flow, independent

Output: TypeAlias = Literal["velocity", "eps", "angle", "edm"]
"""What a network predicts: eps - x0, eps, a eps - b x0 (Salimans and Ho's v), or EDM's F."""

NEAREST = 1e-5  # of t to an end, in training
DATA_STD = 1.0  # about that of the points in the plane; EDM scales its input and output by it


@dataclass(frozen=True)
class Formulation:
    """A path, what the network predicts on it, and how often each time is trained.

    `angle` is for paths with a^2 + b^2 = 1, `edm` for those of EDM.
    """

    path: Path
    output: Output
    density: Density = field(default_factory=Uniform)

    def noised(self, pair: Ends, t: Tensor) -> Tensor:
        """z_t for t of (B,), (B, 2)."""
        a, b = self._amplitudes(t, pair.x0)
        return a * pair.x0 + b * pair.eps

    def target(self, pair: Ends, t: Tensor) -> Tensor:
        """What the network should output for z_t, (B, 2)."""
        a, b = self._amplitudes(t, pair.x0)
        match self.output:
            case "velocity":
                return pair.eps - pair.x0
            case "eps":
                return pair.eps
            case "angle":
                return a * pair.eps - b * pair.x0
            case "edm":
                skip, out = _edm_scales(b)
                return (pair.x0 - skip * (pair.x0 + b * pair.eps)) / out

    def ends(self, z: Tensor, t: Tensor, output: Tensor) -> Ends:
        """Both ends of the path through z_t = z, from what the network said of it."""
        a, b = self._amplitudes(t, z)
        match self.output:
            case "velocity":
                return Ends(z - b * output, z + a * output)
            case "eps":
                return Ends((z - b * output) / a, output)
            case "angle":
                return Ends(a * z - b * output, b * z + a * output)
            case "edm":
                skip, out = _edm_scales(b)
                x0 = skip * z + out * output
                return Ends(x0, (z - x0) / b)

    def ask(self, network: Flow, z: Tensor, t: Tensor) -> Tensor:
        """The network's output for z_t = z; EDM's reads z at unit variance and t as a logarithm of b."""
        if self.output != "edm":
            return network(z, t.to(z.dtype))
        _, b = self._amplitudes(t, z)
        level = torch.log(b / SMALLEST) / math.log(LARGEST / SMALLEST)
        return network(z / (b**2 + DATA_STD**2).sqrt(), level)

    def times(self, steps: int) -> Tensor:
        """Where the sampler stops, from noise to data, (steps + 1,), float64; the last is 0."""
        return path_times(self.path, steps)

    def _amplitudes(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and b_t, ready to broadcast against (B, 2); from float64, for EDM's times are near 1."""
        t = t.double().reshape(-1, 1)
        return self.path.a(t).to(like.dtype), self.path.b(t).to(like.dtype)


FORMULATIONS: Mapping[str, Formulation] = {
    "rf": Formulation(Rectified(), "velocity"),
    "rf/lognorm(0.00,1.00)": Formulation(Rectified(), "velocity", LogitNormal(0.0, 1.0)),
    "rf/lognorm(1.00,0.60)": Formulation(Rectified(), "velocity", LogitNormal(1.0, 0.6)),
    "rf/lognorm(0.50,0.60)": Formulation(Rectified(), "velocity", LogitNormal(0.5, 0.6)),
    "rf/lognorm(0.50,1.00)": Formulation(Rectified(), "velocity", LogitNormal(0.5, 1.0)),
    "rf/mode(1.29)": Formulation(Rectified(), "velocity", Mode(1.29)),
    "rf/mode(1.75)": Formulation(Rectified(), "velocity", Mode(1.75)),
    "rf/cosmap": Formulation(Rectified(), "velocity", CosMap()),
    "eps/linear": Formulation(LDMLinear(), "eps"),
    "v/linear": Formulation(LDMLinear(), "angle"),
    "eps/cos": Formulation(Cosine(), "eps"),
    "v/cos": Formulation(Cosine(), "angle"),
    "edm(-1.20,1.20)": Formulation(EDM(-1.2, 1.2), "edm"),
    "edm(0.00,0.60)": Formulation(EDM(0.0, 0.6), "edm"),
    "edm(0.60,1.20)": Formulation(EDM(0.6, 1.2), "edm"),
}
"""By the names of table 1, all of it but edm/rf and edm/cos, and eps/cos, which it leaves out."""


def train_formulation(formulation: Formulation, data: Points, *, steps: int, seed: int) -> Flow:
    """A network trained from a seed. Raises Failure where the loss is not finite any more."""
    network, pairs = Flow(seed=seed), independent(data)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        pair = Ends(*pairs(BATCH, generator))
        t = formulation.density.sample((BATCH,), generator).clamp(NEAREST, 1 - NEAREST)
        said = formulation.ask(network, formulation.noised(pair, t), t)
        loss = (said - formulation.target(pair, t)).square().sum(1).mean()
        if not bool(loss.isfinite()):
            raise Failure(f"the loss is {float(loss.detach())} after {step} steps; try fewer steps")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return network


@torch.inference_mode()
def sample_formulation(formulation: Formulation, network: Flow, noise: Tensor, steps: int) -> Tensor:
    """Data from standard normal noise, (B, 2), in so many calls of the network."""
    times = formulation.times(steps)
    pair = Ends(torch.zeros_like(noise), noise)
    z = formulation.noised(pair, times[:1])
    for t, s in pairwise(times):
        said = formulation.ask(network, z, t.expand(len(z)))
        z = formulation.noised(formulation.ends(z, t, said), s)
    return z


def _edm_scales(b: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out: x0 = c_skip z + c_out F."""
    total = b**2 + DATA_STD**2
    return DATA_STD**2 / total, b * DATA_STD / total.sqrt()
