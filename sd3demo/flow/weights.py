"""Loss weights: the weight of each noise level in a training objective (SD3 paper, sections 2 and 3).

Every objective is written as the noise-prediction loss -1/2 E[w_t lambda'_t || eps_theta - eps ||^2] over
uniform t, after Kingma and Gao (2023): w_t is what remains once the path's own lambda'_t is taken out.
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from sd3demo.flow.densities import Density
from sd3demo.flow.paths import EDM, PATHS, Path

LossWeight: TypeAlias = Callable[[Tensor], Tensor]
"""w_t on the noise-prediction loss, for t of any shape in (0, 1)."""


def effective_weight(density: Density, t: Tensor) -> Tensor:
    """pi(t) t / (1 - t), eq. 18: the loss weight to which drawing a rectified flow's t from pi amounts.

    It is 0 wherever pi is, also at t = 1, where a logit-normal vanishes faster than 1 / (1 - t) grows.
    """
    pdf = density.pdf(t)
    return torch.where(pdf > 0, pdf * t / (1 - t), 0.0)


def flow_matching_weight(path: Path, t: Tensor) -> Tensor:
    """w_t = -1/2 lambda'_t b_t^2: conditional flow matching, a plain squared error of v = dz/dt (eq. 12)."""
    return -0.5 * path.log_snr_slope(t) * path.b(t) ** 2


def plain_noise_weight(path: Path, t: Tensor) -> Tensor:
    """w_t = -2 / lambda'_t: a plain squared error of eps, as DDPM has it."""
    return -2 / path.log_snr_slope(t)


def plain_angle_weight(path: Path, t: Tensor) -> Tensor:
    """w_t = -2 / (lambda'_t a_t^2): a plain squared error of a eps - b x0, Salimans and Ho's v-prediction.

    For the variance-preserving paths, a^2 + b^2 = 1, where an error in eps is 1 / a times one in v.
    """
    return plain_noise_weight(path, t) / path.a(t) ** 2


def edm_weight(t: Tensor, path: EDM) -> Tensor:
    """N(lambda; -2 P_m, (2 P_s)^2) (e^-lambda + 0.5^2), eq. 16: the F-prediction loss of EDM."""
    log_snr = path.log_snr(t)
    deviate = (log_snr + 2 * path.mean) / (2 * path.std)
    density = torch.exp(-0.5 * deviate**2) / (2 * path.std * math.sqrt(2 * math.pi))
    return density * (torch.exp(-log_snr) + 0.5**2)


def _rectified(t: Tensor) -> Tensor:
    """Flow matching on the straight path, section 3."""
    return t / (1 - t)


def _edm(t: Tensor) -> Tensor:
    return edm_weight(t, EDM())


def _cosine_eps(t: Tensor) -> Tensor:
    """sech(lambda / 2), after eq. 17."""
    return 1 / torch.cosh(PATHS["cosine"].log_snr(t) / 2)


def _cosine_v(t: Tensor) -> Tensor:
    """e^(-lambda / 2), after eq. 17."""
    return torch.exp(-PATHS["cosine"].log_snr(t) / 2)


def _ldm_linear_eps(t: Tensor) -> Tensor:
    return plain_noise_weight(PATHS["ldm-linear"], t)


def _ldm_linear_v(t: Tensor) -> Tensor:
    return plain_angle_weight(PATHS["ldm-linear"], t)


# As the paper prints them: constant factors, which an optimiser does not see, are not reconciled.
LOSS_WEIGHTS: Mapping[str, LossWeight] = {
    "rectified": _rectified,
    "edm": _edm,
    "cosine-eps": _cosine_eps,
    "cosine-v": _cosine_v,
    "ldm-linear-eps": _ldm_linear_eps,
    "ldm-linear-v": _ldm_linear_v,
}
