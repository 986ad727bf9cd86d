"""The loop that text encoders learn in: AdamW on a clock, with a warm start and a cool end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from sd3demo.training.clock import TimeLimit, learning_rate_factor
from sd3demo.training.progress import Progress

REPORT_EVERY = 50
"""Steps from one report to the next."""


def descend(
    parameters: Iterable[nn.Parameter],
    measure: Callable[[], tuple[Tensor, dict[str, Tensor]]],
    clock: TimeLimit,
    stage: str,
    *,
    batch: int,
    learning_rate: float,
) -> Iterator[Progress]:
    """Minimise until the clock stops; yields the loss, and what else was measured, every REPORT_EVERY steps
    and at the end.

    `measure` draws a batch of `batch` examples and gives its loss and further figures, all scalars.
    """
    weights = list(parameters)
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    step = 0
    while (done := clock.share()) < 1:
        optimiser.param_groups[0]["lr"] = learning_rate * learning_rate_factor(done, step)
        loss, figures = measure()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        step += 1
        if step % REPORT_EVERY == 0 or clock.share() >= 1:
            told = {"loss": loss.detach(), **figures}
            yield Progress(stage, step * batch, {name: value.item() for name, value in told.items()})
