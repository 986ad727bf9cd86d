"""The exam of a model in training: a few prompts a category, few steps, marked by the judge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from torch import Tensor

from sd3demo.flow.grids import time_grid
from sd3demo.flow.guidance import Branch, Guidance, guided
from sd3demo.flow.solvers import SOLVERS, At
from sd3demo.training.dataset import TextEncoders, embed
from sd3demo.training.precision import mixed
from sd3demo.world.exam import CATEGORIES, Mark, exams, mark
from sd3demo.world.judge import read


@torch.inference_mode()
def sample(
    transformer: SD3Transformer2DModel,
    vae: AutoencoderKL,
    encoders: TextEncoders,
    prompts: Sequence[str],
    *,
    steps: int = 14,
    cfg: float = 4.0,
    seed: int = 0,
) -> Tensor:
    """Pictures (B, 3, 64, 64) in [0, 1] of the prompts, by Euler steps."""
    device = encoders.t5.device
    told = embed(encoders, list(prompts))
    empty = embed(encoders, [""])
    texts: dict[Branch, tuple[Tensor, Tensor]] = {
        "conditional": told,
        "unconditional": tuple(part.expand(len(prompts), *part.shape[1:]) for part in empty),  # type: ignore[dict-item]
    }

    def branches(x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]:
        context, pooled = (torch.cat([texts[name][part] for name in wanted]) for part in (0, 1))
        rows = x.repeat(len(wanted), 1, 1, 1)
        time = torch.full((len(rows),), 1000 * at.t, device=device)
        with mixed(device):
            v = transformer(rows, context, pooled, time, return_dict=False)[0]
        return v.float().chunk(len(wanted))

    noise = torch.randn(len(prompts), 16, 16, 16, generator=torch.Generator().manual_seed(seed)).to(device)
    for step in SOLVERS["euler"](guided(branches, Guidance(cfg)), noise, time_grid(steps)):
        noise = step.x_next
    return (vae.decode(noise).sample / 2 + 0.5).clamp(0, 1)


def run_exam(
    transformer: SD3Transformer2DModel,
    vae: AutoencoderKL,
    encoders: TextEncoders,
    *,
    prompts: int,
    seed: int = 1,
) -> dict[str, float]:
    """Pass rates by category, and the mean of each softer part over all prompts."""
    figures: dict[str, float] = {}
    marks: list[Mark] = []
    for category in CATEGORIES:
        asked = exams(category, prompts, seed)
        pictures = sample(transformer, vae, encoders, [exam.prompt for exam in asked], seed=seed)
        here = [mark(exam, read(picture.cpu())) for exam, picture in zip(asked, pictures, strict=True)]
        figures[category] = sum(m.passed for m in here) / len(here)
        marks += here
    for part in sorted({name for m in marks for name in m.parts}):
        values = [m.parts[part] for m in marks if part in m.parts]
        figures[f"soft-{part}"] = round(sum(values) / len(values), 4)
    return figures
