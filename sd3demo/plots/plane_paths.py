"""Four forward paths in the plane: between one pair of ends, and what Euler costs on an exact field."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.path_steps import euler_errors, euler_path, path_times
from sd3demo.flow.paths import PATHS, Ends, Path, noised
from sd3demo.plots.chart import Axis, Chart, Curve, Numbers

TITLES: Mapping[str, tuple[str, str]] = {
    "rectified": ("rectified flow", "green"),
    "cosine": ("cosine", "violet"),
    "edm": ("EDM", "blue"),
    "ldm-linear": ("LDM-linear", "orange"),
}
"""Name and colour of each path."""
DATA_END, NOISE_END = (-1.41, 1.41), (1.6, 0.9)
EULER = 4  # steps between the pair
COUNTS = (1, 2, 4, 8, 16, 32, 64)
CLOUD, SEED = 128, 7
EDGE = 2.5


def one_pair() -> Chart:
    """Plot the four paths between one data point and one noise, and where a few Euler steps on them lead."""
    curves: list[Curve] = []
    for name, (title, colour) in TITLES.items():
        line, steps = _line(PATHS[name]), pair_steps(PATHS[name], EULER)
        curves.append(Curve(title, *_inside(line), colour, strong=True))
        curves.append(Curve(f"{title}, Euler", *_inside(steps), colour, "dots", opacity=0.7))
    data, noise = (np.array([end]) for end in (DATA_END, NOISE_END))
    return Chart(
        "pair-paths",
        f"One pair, four paths, {EULER} Euler steps",
        "z = a x₀ + b ε, SD3 eq. 13, 14 and 17",
        Axis("first coordinate", (-EDGE, EDGE)),
        Axis("second coordinate", (-EDGE, EDGE)),
        (
            *curves,
            Curve("x₀", data[:, 0], data[:, 1], "pink", "points", strong=True),
            Curve("ε", noise[:, 0], noise[:, 1], "grey", "points", strong=True),
        ),
        square=True,
    )


@cache
def euler_error(data: Mixture | Gaussian) -> Chart:
    """Plot how far Euler's samples are from the exact flow's, by the number of steps, for each path."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn((CLOUD, 2), generator=generator, dtype=torch.float64)
    x = np.array(COUNTS, dtype=np.float64)
    return Chart(
        "euler-error",
        "Euler's error on the exact field",
        "root mean square over 128 samples of four clusters",
        Axis("steps", log=True, ticks=COUNTS),
        Axis("distance to the exact end", log=True),
        tuple(
            Curve(title, x, euler_errors(PATHS[name], data, noise, COUNTS).numpy(), colour, "dots")
            for name, (title, colour) in TITLES.items()
        ),
    )


def pair_steps(path: Path, steps: int) -> Tensor:
    """The states of Euler between the pair, (steps + 1, 2): the ends are known at each of them."""
    pair, times = _pair(), path_times(path, steps)
    start = noised(path, pair, float(times[0]))
    return euler_path(path, lambda z, t: pair, start, times)[:, 0]


def _line(path: Path) -> Tensor:
    """The path itself from noise to data, (n, 2)."""
    times = path_times(path, 200)
    pair = Ends(*(end.expand(len(times), 2) for end in _pair()))
    return noised(path, pair, times)


def _pair() -> Ends:
    return Ends(*(torch.tensor([end], dtype=torch.float64) for end in (DATA_END, NOISE_END)))


def _inside(points: Tensor) -> tuple[Numbers, Numbers]:
    """The points that the plot shows, and one beyond its edge: EDM comes from far away."""
    known = points.numpy()
    beyond = np.flatnonzero(np.abs(known).max(axis=1) > EDGE)
    shown = known[beyond[-1] if len(beyond) else 0 :]
    return shown[:, 0], shown[:, 1]
