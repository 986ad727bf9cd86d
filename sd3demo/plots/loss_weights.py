"""Loss weights by noise level, SD3 paper, eq. 18 and sections 2 and 3, and the forward paths.

Weights of different paths can be compared only over the log-SNR, where the noise-prediction loss is
1/2 times the integral of w(lambda) || eps_theta - eps ||^2, whatever the path.
"""

from collections.abc import Mapping
from functools import lru_cache

import torch

from sd3demo.flow.densities import Density
from sd3demo.flow.paths import PATHS, Path
from sd3demo.flow.weights import LOSS_WEIGHTS, effective_weight
from sd3demo.plots.chart import Axis, Chart, Curve, Kind, Numbers
from sd3demo.plots.densities import FARTHEST, LOG_SNR, POINTS, TIME

OTHER_WEIGHTS: Mapping[str, tuple[str, str, str]] = {
    "edm": ("EDM", "edm", "pink"),
    "cosine-eps": ("cosine, ε", "cosine", "blue"),
    "cosine-v": ("cosine, v", "cosine", "blue"),
    "ldm-linear-eps": ("LDM-linear, ε", "ldm-linear", "olive"),
    "ldm-linear-v": ("LDM-linear, v", "ldm-linear", "olive"),
}
"""A loss weight of the flow package -> its name on a plot, its path, its colour."""

PATH_LOOKS: Mapping[str, tuple[str, str]] = {
    "rectified": ("rectified flow", "green"),
    "cosine": ("cosine", "blue"),
    "edm": ("EDM", "pink"),
    "ldm-linear": ("LDM-linear", "olive"),
}
LETTERS: tuple[tuple[str, Kind], ...] = (("a", "line"), ("b", "dashed"))


def weights(densities: Mapping[str, Density], colours: Mapping[str, str]) -> Chart:
    """Plot the effective loss weight of each density, beside other objectives, over the log-SNR."""
    log_snr = torch.linspace(-FARTHEST, FARTHEST, POINTS, dtype=torch.float64)
    t = torch.sigmoid(-log_snr / 2)
    own = [
        Curve(name, log_snr.numpy(), effective_weight(density, t).numpy(), colours[name], strong=True)
        for name, density in densities.items()
    ]
    return Chart(
        "weights",
        "As a weight",
        "w = π(t) t/(1 − t), SD3 eq. 18; others: §2, §3",
        LOG_SNR,
        Axis("weight w", (1e-4, 1e3), log=True),
        (*own, *_other_weights()),
    )


def amplitudes() -> Chart:
    """Plot a and b of the four forward paths."""
    t = _times()
    curves = [
        Curve(
            f"{title}, {letter}", t.numpy(), _one(PATHS[name], letter, t), colour, kind, listed=letter == "a"
        )
        for name, (title, colour) in PATH_LOOKS.items()
        for letter, kind in LETTERS
    ]
    return Chart(
        "paths",
        "Forward paths",
        "z = a x₀ + b ε, SD3 §2, §3; b: dashed",
        TIME,
        Axis("amplitude", (0, 1.5)),
        tuple(curves),
    )


def log_snrs() -> Chart:
    """Plot the log-SNR of the four forward paths."""
    t = _times()
    curves = [
        Curve(title, t.numpy(), PATHS[name].log_snr(t).numpy(), colour)
        for name, (title, colour) in PATH_LOOKS.items()
    ]
    return Chart(
        "path-log-snr",
        "Signal against noise",
        "λ = log(a²/b²), SD3 §2",
        TIME,
        Axis("log-SNR λ", (-FARTHEST, FARTHEST)),
        tuple(curves),
    )


@lru_cache
def _other_weights() -> tuple[Curve, ...]:
    """Return the weights of other objectives, each over the log-SNR of its own path."""
    t = _times()[1:-1]
    curves = []
    for weight, (title, path, colour) in OTHER_WEIGHTS.items():
        kind: Kind = "dashed" if weight.endswith("v") else "line"
        log_snr = PATHS[path].log_snr(t).numpy()
        curves.append(Curve(title, log_snr, LOSS_WEIGHTS[weight](t).numpy(), colour, kind))
    return tuple(curves)


def _one(path: Path, letter: str, t: torch.Tensor) -> Numbers:
    return (path.a(t) if letter == "a" else path.b(t)).numpy()


def _times() -> torch.Tensor:
    return torch.linspace(0, 1, POINTS, dtype=torch.float64)
