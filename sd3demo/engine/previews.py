"""A picture of a latent without the decoder: rgb = A z + b at each of its pixels, fitted once a VAE.

A and b come from least squares over pictures of random flat patches: their latents by the encoder, their
colours by averaging to the latent's size. After that a preview is one small product.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from sd3demo.engine.events import Pixels
from sd3demo.models.protocol import FlowModel

PICTURES, PATCHES, SIDE = 12, 4, 16  # how many pictures, patches along a side, and latent pixels along a side


@dataclass(frozen=True, eq=False)
class PreviewMap:
    """A and b in one matrix: (C + 1, 3), its last row b."""

    matrix: Tensor

    def __call__(self, latent: Tensor) -> tuple[Pixels, ...]:
        """One small picture, (H, W, 3), for each latent of (B, C, H, W)."""
        colours = torch.einsum("bchw,cd->bhwd", latent, self.matrix[:-1].to(latent)) + self.matrix[-1].to(
            latent
        )
        pixels = ((colours + 1) * 127.5).nan_to_num().clamp(0, 255).round().to(torch.uint8).cpu().numpy()
        return tuple(pixels)


def fit(model: FlowModel, device: torch.device) -> PreviewMap:
    """The map of a model's VAE; the same every time."""
    factor = model.spec.vae_factor
    random = torch.Generator().manual_seed(0)
    patches = torch.rand((PICTURES, 3, PATCHES, PATCHES), generator=random) * 2 - 1
    pictures = interpolate(patches, size=(SIDE * factor, SIDE * factor), mode="nearest")
    latents = model.to_latent(pictures.to(device)).float().cpu()
    z = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    colours = avg_pool2d(pictures, factor).permute(0, 2, 3, 1).reshape(-1, 3)
    ones = torch.ones(len(z), 1)
    return PreviewMap(torch.linalg.lstsq(torch.cat((z, ones), dim=1), colours).solution)
