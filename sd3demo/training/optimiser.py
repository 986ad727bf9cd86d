"""Muon for matrices and convolution kernels, AdamW for all else (K. Jordan, 'Muon', 2024; torch.optim.Muon).

torch's Muon takes matrices only, so a kernel (out, in, h, w) is shown to it as the matrix (out, in h w)
over the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from sd3demo.training.precision import multiplies_bfloat16


class Optimiser(Protocol):
    """What the stages need of an optimiser; `scale` multiplies every learning rate."""

    def step(self, *, scale: float) -> None: ...
    def zero_grad(self) -> None: ...
    def state_dict(self) -> dict[str, object]: ...
    def load_state_dict(self, state: dict[str, object]) -> None: ...


class Muon32(torch.optim.Muon):
    """torch's Muon in float32, for CPUs without bfloat16 products, on which its own takes most of a step."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update; the state is kept as torch's own keeps it."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                mean = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                size = 0.2 * math.sqrt(max(weight.shape))  # match_rms_adamw
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(
                    orthogonal(update, group["ns_coefficients"], group["ns_steps"]), alpha=-group["lr"] * size
                )


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Nearly the nearest matrix with orthonormal rows or columns, by Newton and Schulz's iteration."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class MuonWithAdamW:
    """Orthogonalised momentum for the chosen weights, AdamW for the others.

    `matrix_rate` is in units of AdamW's learning rate (Moonshot's scaling, arXiv 2502.16982).
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        *,
        learning_rate: float,
        matrix_rate: float,
        weight_decay: float = 0.0,
        is_matrix: Callable[[str, Tensor], bool] = lambda name, weight: weight.ndim >= 2,
    ) -> None:
        pairs = [(name, weight) for name, weight in named if weight.requires_grad]
        self._matrices = [weight for name, weight in pairs if is_matrix(name, weight)]
        self._views = [nn.Parameter(weight.detach().view(len(weight), -1)) for weight in self._matrices]
        others = [weight for name, weight in pairs if not is_matrix(name, weight)]
        self._others = others
        self._rates = (matrix_rate, learning_rate)
        narrow = pairs[0][1].device.type != "cpu" or multiplies_bfloat16()
        self._muon = (torch.optim.Muon if narrow else Muon32)(
            self._views,
            lr=matrix_rate,
            weight_decay=weight_decay,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adam = torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, *, scale: float) -> None:
        """One update with every learning rate times `scale`."""
        for view, weight in zip(self._views, self._matrices, strict=True):
            view.grad = None if weight.grad is None else weight.grad.reshape(view.shape)
        for optimiser, rate in zip((self._muon, self._adam), self._rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
            optimiser.step()

    def zero_grad(self) -> None:
        for weight in (*self._matrices, *self._others):
            weight.grad = None

    def state_dict(self) -> dict[str, object]:
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self._muon.load_state_dict(state["muon"])  # type: ignore[arg-type]
        self._adam.load_state_dict(state["adam"])  # type: ignore[arg-type]
