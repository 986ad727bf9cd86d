"""Stage 1: an AutoencoderKL with 16 latent channels for the world's pictures (SD3 section 5.2.1, Table 3).

Latents are normalised channel by channel while the encoder trains, so that none dies into noise, and
the decoder learns from latents with a little noise added, which is what a sampler hands it. Averaging
latents is trained to mean averaging pictures (EQ-VAE, arXiv 2502.09509): it keeps 1x, 2x and 4x in one
latent language.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from sd3demo.training.clock import TimeLimit
from sd3demo.training.optimiser import MuonWithAdamW
from sd3demo.training.precision import mixed
from sd3demo.training.progress import Progress
from sd3demo.world.render import render
from sd3demo.world.scenes import Scene, draw

CHANNELS = 16
FACTOR = 4
LATENT_NOISE = 0.1
"""Noise on unit-variance latents in training; also the posterior's standard deviation that is shipped."""


def autoencoder(widths: tuple[int, ...] = (16, 32, 64)) -> AutoencoderKL:
    """An untrained AutoencoderKL that halves the sides once for each width after the first."""
    levels = len(widths)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=64,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
        force_upcast=False,
    )


class Normalised(nn.Module):
    """The autoencoder in training: encode, normalise each channel, add noise, decode."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.norm = nn.BatchNorm2d(CHANNELS, affine=False, momentum=0.02)

    def latents(self, pictures: Tensor) -> Tensor:
        """Normalised posterior means (B, 16, H/4, W/4) of pictures (B, 3, H, W) in [0, 1]."""
        moments = self.vae.encoder(pictures * 2 - 1)
        return self.norm(moments[:, :CHANNELS].float())

    def forward(self, pictures: Tensor, *, noise: float) -> tuple[Tensor, Tensor]:
        """Reconstructions at full and at half size, in [0, 1]."""
        z = self.latents(pictures)
        half = functional.avg_pool2d(z, 2)
        full = self.vae.decoder(z + noise * torch.randn_like(z))
        small = self.vae.decoder(half + noise * torch.randn_like(half))
        return full.float() / 2 + 0.5, small.float() / 2 + 0.5


@torch.no_grad()
def fold(module: Normalised) -> AutoencoderKL:
    """The autoencoder with the normalisation folded into the encoder's last convolution and a fixed
    posterior width."""
    vae, norm = module.vae, module.norm
    out = vae.encoder.conv_out
    mean, variance = norm.state_dict()["running_mean"], norm.state_dict()["running_var"]
    scale = (variance + norm.eps).rsqrt()
    out.weight[:CHANNELS] *= scale[:, None, None, None]
    out.bias[:CHANNELS] = (out.bias[:CHANNELS] - mean) * scale
    out.weight[CHANNELS:] = 0
    out.bias[CHANNELS:] = 2 * math.log(LATENT_NOISE)
    return vae


def _centre(rng: random.Random, scene: Scene) -> tuple[float, float]:
    """A point that is worth a look: near a thing or a letter."""
    if (word := scene.lettering) is not None:
        half = word.height * len(word.text) / 2
        return word.x + rng.uniform(-half, half), word.y
    thing = rng.choice(scene.things)
    return thing.x + rng.uniform(-1, 1) * thing.r, thing.y + rng.uniform(-1, 1) * thing.r


MIX = {"single": 0.15, "pair": 0.25, "count": 0.2, "groups": 0.1, "word": 0.3}
FINISHING_MIX = {"single": 0.1, "pair": 0.15, "count": 0.1, "groups": 0.05, "word": 0.6}
"""Small letters are what the decoder finds hardest."""


def windows(
    rng: random.Random,
    count: int,
    *,
    size: int,
    window: int,
    device: torch.device | str,
    mix: dict[str, float] = MIX,
) -> Tensor:
    """Pictures (count, 3, window, window): windows of scenes drawn `size` pixels wide, on what is to be
    seen."""
    scenes = [draw(rng, mix) for _ in range(count)]
    spots = torch.tensor([_centre(rng, scene) for scene in scenes]) * size - window / 2
    origins = spots.round().clamp(0, size - window)
    return render(scenes, size, window=window, origins=origins, device=device)


def train_autoencoder(
    vae: AutoencoderKL,
    clock: TimeLimit,
    *,
    device: torch.device,
    seed: int = 0,
    batch: int = 32,
    learning_rate: float = 2e-3,
    matrix_rate: float = 1e-2,
) -> Iterator[Progress]:
    """Train in place until the clock stops, and fold the normalisation in at the end.

    The first three quarters of the time goes to windows of 32 px, where most pixels teach something,
    the rest to 64 px, whole pictures among them, so that group statistics are those of serving.
    """
    rng = random.Random(seed)
    module = Normalised(vae).to(device)

    def reconstruct(done: float) -> tuple[Tensor, Tensor, Tensor]:
        early = done < 0.75
        size, count = rng.choice((64, 64, 128, 256)), batch if early else max(1, batch // 4)
        pictures = windows(rng, count, size=size, window=32 if early else 64, device=device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with mixed(device):
            full, small = module(pictures, noise=LATENT_NOISE)
        return full, small, pictures

    yield from _fit(module, reconstruct, clock, "autoencoder", rates=(learning_rate, matrix_rate))
    fold(module)


def finish_decoder(
    vae: AutoencoderKL,
    clock: TimeLimit,
    *,
    device: torch.device,
    seed: int = 0,
    batch: int = 12,
    learning_rate: float = 5e-4,
    matrix_rate: float = 2e-3,
) -> Iterator[Progress]:
    """Train the decoder alone, in place, until the clock stops: latents keep the meaning that a flow has
    learned."""
    rng = random.Random(seed)
    decoder = vae.to(device, memory_format=torch.contiguous_format).decoder.train().requires_grad_(True)

    def reconstruct(done: float) -> tuple[Tensor, Tensor, Tensor]:
        size = rng.choice((64, 64, 64, 128, 256))
        pictures = windows(rng, batch, size=size, window=64, device=device, mix=FINISHING_MIX)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with mixed(device):
            with torch.no_grad():
                z = vae.encode(pictures * 2 - 1).latent_dist.mean.float()
                half = functional.avg_pool2d(z, 2)
            full = decoder(z + LATENT_NOISE * torch.randn_like(z)).float() / 2 + 0.5
            small = decoder(half + LATENT_NOISE * torch.randn_like(half)).float() / 2 + 0.5
        return full, small, pictures

    yield from _fit(decoder, reconstruct, clock, "decoder", rates=(learning_rate, matrix_rate))


def _fit(
    module: nn.Module,
    reconstruct: Callable[[float], tuple[Tensor, Tensor, Tensor]],
    clock: TimeLimit,
    stage: str,
    *,
    rates: tuple[float, float],
) -> Iterator[Progress]:
    """Minimise the loss of `reconstruct` until the clock stops, and leave the weights' moving average.

    `reconstruct` takes the share of the time that is gone, and gives pictures at full size, at half size,
    and the true ones. The rates are AdamW's and Muon's.
    """
    optimiser = MuonWithAdamW(module.named_parameters(), learning_rate=rates[0], matrix_rate=rates[1])
    average = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    seen, step = 0, 0
    while (done := clock.share()) < 1:
        full, small, pictures = reconstruct(done)
        loss, error = _loss(full, small, pictures)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step(scale=min(1, (step + 1) / 100) * min(1.0, 1.6 * (1 - done) + 0.01))
        average.update_parameters(module)
        seen, step = seen + len(pictures), step + 1
        if step % 100 == 0 or clock.share() >= 1:
            yield Progress(stage, seen, {"loss": loss.item(), "psnr": _psnr(error)})
    module.load_state_dict(average.module.state_dict())


def _loss(full: Tensor, small: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of reconstructions at full and at half size, and the error at full size."""
    error = full - pictures
    halved = (small - functional.avg_pool2d(pictures, 2)).square().mean()
    return error.square().mean() + 0.1 * error.abs().mean() + 0.25 * halved, error.detach()


def _psnr(error: Tensor) -> float:
    return -10 * math.log10(error.square().mean().item() + 1e-12)


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of decoded posterior means against pictures (B, 3, H, W) in [0, 1]."""
    latents = vae.encode(pictures * 2 - 1).latent_dist.mean
    decoded = (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    return _psnr(decoded - pictures)
