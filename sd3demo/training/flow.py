"""Stage 3: conditional flow matching of the MM-DiT (SD3 eq. 8 and 13, timesteps by section 3.1).

`z_t = (1 - t) x0 + t eps`, the target is `eps - x0`, t follows a logit-normal density.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn
from torch.nn import functional

from sd3demo.flow.densities import LogitNormal
from sd3demo.training.clock import TimeLimit
from sd3demo.training.compiled import Compiled, Eager, Forward
from sd3demo.training.dataset import LABELS, Feed, Feeds
from sd3demo.training.optimiser import MuonWithAdamW
from sd3demo.training.precision import mixed
from sd3demo.training.progress import Progress
from sd3demo.training.sizes import OWN, PictureSize, Positions
from sd3demo.training.transformer import PlainAttention, Trained

STRATA = 8


@dataclass(frozen=True)
class Recipe:
    """What the flow stage can be told; examples are counted over all runs of a model."""

    batch: int = 32
    learning_rate: float = 1e-3
    matrix_rate: float = 2e-3
    weight_decay: float = 0.0
    warm_up: int = 200
    """Steps until the learning rate is full."""
    cool_down: float = 0.0
    """Last share of this run over which the learning rate falls to a tenth."""
    label_weight: float = 0.5
    """Weight of the patch-label loss beside the velocity loss."""
    density: tuple[float, float] = (0.0, 1.0)
    """Mean and spread of the logit-normal that t is drawn from (SD3 eq. 19)."""
    density_by_size: float = 0.0
    """How much of ln(S / native) is added to that mean at a size S: 1 is the shift of SD3 eq. 23."""
    unconditional: float = 0.1
    zeroed: tuple[float, float, float] = (0.464, 0.464, 0.464)
    """Probability of zeroing CLIP-L, CLIP-G, T5 (SD3 appendix B.3; section 5.3.3 prints 46.3%)."""
    zeroed_from: int = 0
    """Examples before which no encoder is zeroed."""
    average: float = 0.999
    """Decay of the weights' exponential moving average."""
    keep_weight: float = 1.0
    """Weight of the distance from a kept network's velocity, where there is one."""


class FlowTraining:
    """Everything that a run must keep to go on exactly: weights, average, optimiser, counts and random
    states."""

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        recipe: Recipe,
        device: torch.device,
        kept: SD3Transformer2DModel | None = None,
    ) -> None:
        """`kept`: a network whose velocity is the target at the native size, in place of `eps - x0`."""
        self.recipe, self.device = recipe, device
        if device.type == "cpu":
            transformer.set_attn_processor(PlainAttention())
        self.module = Trained(transformer, LABELS).to(device)
        self.kept = None if kept is None else frozen(kept, device)
        self.positions = Positions(transformer)
        self.average = {name: value.detach().clone() for name, value in transformer.state_dict().items()}
        self.optimiser = MuonWithAdamW(
            self.module.named_parameters(),
            learning_rate=recipe.learning_rate,
            matrix_rate=recipe.matrix_rate,
            weight_decay=recipe.weight_decay,
            is_matrix=_is_block_matrix,
        )
        self.examples, self.steps = 0, 0

    def state_dict(self) -> dict[str, object]:
        return {
            "module": self.module.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "examples": self.examples,
            "steps": self.steps,
            "random": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.module.load_state_dict(state["module"])  # type: ignore[arg-type]
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}  # type: ignore[attr-defined]
        self.optimiser.load_state_dict(state["optimiser"])  # type: ignore[arg-type]
        self.examples, self.steps = int(state["examples"]), int(state["steps"])  # type: ignore[call-overload]
        torch.set_rng_state(state["random"])  # type: ignore[arg-type]

    @torch.no_grad()
    def update_average(self) -> None:
        decay = min(self.recipe.average, (1 + self.steps) / (10 + self.steps))
        new = self.module.transformer.state_dict()
        floating = [name for name, value in new.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in floating], [new[n] for n in floating], 1 - decay)


def frozen(network: SD3Transformer2DModel, device: torch.device) -> Trained:
    """A network as it is in training, that does not learn; its head says nothing."""
    if device.type == "cpu":
        network.set_attn_processor(PlainAttention())
    return Trained(network, 1).to(device).eval().requires_grad_(False)


def _is_block_matrix(name: str, weight: Tensor) -> bool:
    """Muon's share: attention and feed-forward matrices; modulations start at zero and stay with AdamW."""
    return weight.ndim == 2 and "transformer_blocks" in name and "norm" not in name


class RunningMeans:
    """Running sums of a run's figures, on its device, so that no step waits to read them."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, device=device)
        self.strata = torch.zeros(2, STRATA, device=device)
        self.sizes: dict[PictureSize, list[Tensor]] = {}
        self.steps = 0

    def note(self, size: PictureSize, t: Tensor, error: Tensor, naming: Tensor, gradient: Tensor) -> None:
        """One step: its size, t and the velocity error (B,), the label loss and the gradient's norm."""
        self.sizes.setdefault(size, []).append(error.mean())
        self.sums += torch.stack([error.mean(), naming, gradient])
        where = (t * STRATA).long().clamp(max=STRATA - 1)
        self.strata[0].index_add_(0, where, error)
        self.strata[1].index_add_(0, where, torch.ones_like(error))
        self.steps += 1

    def means(self) -> dict[str, float]:
        """The means, and the velocity loss of each eighth of t and of each of several sizes that was
        visited."""
        loss, labels, gradient = (self.sums / self.steps).tolist()
        sums, counts = self.strata.tolist()
        by_t = {f"t{k + 1}/{STRATA}": sums[k] / counts[k] for k in range(STRATA) if counts[k]}
        by_size = {f"{size}px": torch.stack(self.sizes[size]).mean().item() for size in sorted(self.sizes)}
        several = by_size if len(by_size) > 1 else {}
        return {"loss": loss, "labels": labels, "gradient": gradient, **by_t, **several}


def train_flow(
    training: FlowTraining, feed: Feed | Feeds, clock: TimeLimit, *, cache: Path | None
) -> Iterator[Progress]:
    """Train until the clock stops; yields the mean losses since the last report, by t-stratum and by size
    too, every 100 steps. The network is compiled into `cache`, and not at all for None."""
    recipe, device, module = training.recipe, training.device, training.module
    network = Compiled(module, cache) if cache else Eager(module)
    figures = RunningMeans(device)
    module.train()
    while (done := clock.share()) < 1:
        zeroed = recipe.zeroed if training.examples >= recipe.zeroed_from else (0.0, 0.0, 0.0)
        batch = feed.next(recipe.batch, unconditional=recipe.unconditional, zeroed=zeroed)
        size = PictureSize.of_latent(*batch[0].shape[-2:])
        t = density_at(recipe, size).sample((len(batch[0]),)).to(device)
        error, naming = network.run(partial(_descend, training, batch, t, torch.randn_like(batch[0])))
        norm = nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        training.optimiser.step(scale=_rate(recipe, training.steps, done))
        training.steps += 1
        training.examples += len(t)
        training.update_average()
        figures.note(size, t, error, naming, norm.detach())
        if training.steps % 100 == 0 or clock.share() >= 1:
            yield Progress("flow", training.examples, figures.means())
            figures = RunningMeans(device)


def _descend(
    training: FlowTraining,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    t: Tensor,
    eps: Tensor,
    forward: Forward,
) -> tuple[Tensor, Tensor]:
    """The gradients of one batch; the velocity error of each of its pictures (B,), and the label loss."""
    x0, labels, context, pooled = batch
    z = torch.lerp(x0, eps, t[:, None, None, None])
    places = training.positions(PictureSize.of_latent(*x0.shape[-2:]))
    training.optimiser.zero_grad()
    with mixed(training.device):
        v, named = forward(z, t, context, pooled, places)
    error = (v.float() - (eps - x0)).square().mean((1, 2, 3))
    naming = functional.binary_cross_entropy_with_logits(named.float(), labels)
    loss = error.mean()
    if training.kept is not None and PictureSize.of_latent(*x0.shape[-2:]) == OWN:
        with torch.no_grad(), mixed(training.device):
            wanted, _ = training.kept(z, t, context, pooled, places)
        loss = training.recipe.keep_weight * functional.mse_loss(v.float(), wanted.float())
    (loss + training.recipe.label_weight * naming).backward()
    return error.detach(), naming.detach()


def density_at(recipe: Recipe, size: PictureSize) -> LogitNormal:
    """The density of t at a size: more noise at a larger one, as far as the recipe says so."""
    mean, spread = recipe.density
    return LogitNormal(mean + recipe.density_by_size * math.log(size.scale), spread)


def _rate(recipe: Recipe, step: int, done: float) -> float:
    """The learning rate's factor: a linear start over all runs, and a linear end within this one."""
    start = min(1.0, (step + 1) / recipe.warm_up)
    if recipe.cool_down and done > 1 - recipe.cool_down:
        start *= 0.1 + 0.9 * (1 - done) / recipe.cool_down
    return start if math.isfinite(start) else 0.0
