"""diffusers' autoencoder between images and the latents that a flow works on: its shift and scale."""

from typing import cast

from diffusers import AutoencoderKL
from torch import Tensor


def encoded(vae: AutoencoderKL, image: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return the latents of images (B, 3, H, W) in [-1, 1]: the posterior's mean, or sampled with noise."""
    config = vae.config
    posterior = vae.encode(image.to(vae.dtype)).latent_dist
    z = posterior.mode() if noise is None else posterior.mean + posterior.std * noise.to(posterior.mean)
    return (z - (config.shift_factor or 0.0)) * config.scaling_factor


def decoded(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    """Return the images (B, 3, H, W) of latents, in [-1, 1] and not clamped."""
    config = vae.config
    scaled = latent.to(vae.dtype) / config.scaling_factor + (config.shift_factor or 0.0)
    return cast(Tensor, vae.decode(scaled, return_dict=False)[0])
