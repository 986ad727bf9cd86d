"""The recorder of an X-ray: at each step of a larger run, what the model wanted and what was made of it."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sd3demo.engine.events import Record
from sd3demo.engine.record.bands import FIELDS, RINGS, ring_of
from sd3demo.engine.record.recorder_context import RecorderContext
from sd3demo.flow.extrapolation.projection import Correction
from sd3demo.flow.solvers import Step


class XRayRecorder:
    """(N, 2 + 7 RINGS, B): the strength (full, low), and the energies of `engine.bands.FIELDS` by ring.

    Of a step with several stages the first is seen: it stands where the step begins.
    """

    def __init__(self, scene: RecorderContext) -> None:
        self._seen: Correction | None = None
        self._rows: list[Tensor] = []

    def correction(self, correction: Correction) -> None:
        if self._seen is None:
            self._seen = correction

    def __call__(self, step: Step) -> None:
        seen, self._seen = self._seen, None
        if seen is None:
            fields = [step.v, torch.zeros_like(step.v), step.denoised, step.denoised]
            energies = [ring_energies(field) for field in fields]
            unknown = torch.full_like(energies[0], torch.nan)
            rows = [*energies, unknown, unknown, unknown]
            strength = (0.0, 0.0)
        else:
            corrected = seen.x - seen.at.t * seen.corrected
            rows = [
                ring_energies(field)
                for field in (
                    seen.v,
                    seen.corrected - seen.v,
                    seen.denoised,
                    corrected,
                    seen.target,
                    seen.target - seen.denoised,
                    seen.target - corrected,
                )
            ]
            strength = seen.strength
        assert len(rows) == len(FIELDS)
        alphas = torch.tensor(strength)[:, None].expand(2, rows[0].shape[1])
        self._rows.append(torch.cat([alphas, *(row.cpu() for row in rows)]))

    def result(self) -> Record:
        found: Record = torch.stack(self._rows).to(torch.float32).numpy()
        return found


def ring_energies(x: Tensor) -> Tensor:
    """(RINGS, B) of (B, C, H, W): the mean square of a latent by ring; the rings add up to all of it."""
    batch, channels, rows, columns = x.shape
    down, across = (_cosines(side, x.device) for side in (rows, columns))
    power = (down @ x.float() @ across.T).square().sum(1).flatten(1)  # (B, H W)
    ring = torch.from_numpy(ring_of(rows, columns).ravel().astype(np.int64)).to(x.device)
    found = torch.zeros(batch, RINGS, device=x.device).index_add_(1, ring, power)
    return found.T / (channels * rows * columns)


@lru_cache(maxsize=8)
def _cosines(side: int, device: torch.device) -> Tensor:
    """The orthonormal cosine transform (DCT-II) as a matrix, a mode in each row."""
    modes = torch.arange(side, dtype=torch.float64)
    basis = math.sqrt(2 / side) * torch.cos(math.pi / side * modes[:, None] * (modes[None] + 0.5))
    basis[0] /= math.sqrt(2)
    return basis.to(device, torch.float32)
