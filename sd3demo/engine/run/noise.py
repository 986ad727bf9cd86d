"""The noise of a run: a seed's own, for each picture, whatever stands beside it in a batch."""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sd3demo.catalogue import ModelSpec
from sd3demo.engine.plan.stages import Stage


def initial_noise(seeds: Sequence[int], spec: ModelSpec, stage: Stage) -> Tensor:
    """(B, C, H, W), each drawn as diffusers' pipelines draw it: float32, by a CPU generator with its seed.

    A larger stage starts from what a plain run of its size would, and so do all methods.
    """
    return torch.cat([next(_draws(seed, spec, stage)) for seed in seeds])


def posterior_noise(seeds: Sequence[int], spec: ModelSpec, stage: Stage) -> Tensor:
    """(B, C, H, W): what each seed's generator draws after the initial noise of that size."""
    drawn = []
    for seed in seeds:
        draws = _draws(seed, spec, stage)
        next(draws)
        drawn.append(next(draws))
    return torch.cat(drawn)


def noise_hash(noise: Tensor) -> str:
    """SHA-256 of a picture's noise, as the bytes of its float32 numbers in little-endian order."""
    return hashlib.sha256(noise.contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def _draws(seed: int, spec: ModelSpec, stage: Stage) -> Iterator[Tensor]:
    shape = spec.latent.shape(stage.width, stage.height)
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn((1, *shape), generator=generator)
