"""A picture of a latent without the decoder: one 3 x 3 convolution, fitted once a VAE.

Its weights come from ridge regression over pictures of flat shapes on flat grounds: their latents by the
encoder, their colours by averaging to the latent's size. After that a preview is one small product.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad, unfold

from sd3demo.engine.events import Pixels
from sd3demo.models.protocol import FlowModel

PICTURES, SHAPES, SIDE = 24, 4, 16  # how many pictures, shapes on each, and latent pixels along a side
KERNEL = 3
RIDGE = 1e-2
BEYOND = 0.25  # colours come from a range this much wider at both ends, clamped: pure ones are common


@dataclass(frozen=True, eq=False)
class PreviewMap:
    """The convolution: weight (3, C, 3, 3) and bias (3,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, latent: Tensor) -> tuple[Pixels, ...]:
        """One small picture, (H, W, 3), for each latent of (B, C, H, W)."""
        z = _padded(latent)
        colours = conv2d(z, self.weight.to(z), self.bias.to(z)).permute(0, 2, 3, 1)
        pixels = ((colours + 1) * 127.5).nan_to_num().clamp(0, 255).round().to(torch.uint8).cpu().numpy()
        return tuple(pixels)


def fit(model: FlowModel, device: torch.device) -> PreviewMap:
    """The map of a model's VAE; the same every time."""
    factor = model.spec.latent.factor
    pictures = _pictures(SIDE * factor)
    latents = torch.cat([model.to_latent(picture[None].to(device)).float().cpu() for picture in pictures])
    seen = unfold(_padded(latents), KERNEL).transpose(1, 2).flatten(0, 1)  # (pixels, C 9)
    seen = torch.cat((seen, torch.ones(len(seen), 1)), dim=1).double()
    colours = avg_pool2d(pictures, factor).permute(0, 2, 3, 1).reshape(-1, 3).double()
    ridge = RIDGE * torch.eye(seen.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(seen.T @ seen + ridge, seen.T @ colours).float()
    weight = solution[:-1].T.reshape(3, latents.shape[1], KERNEL, KERNEL)
    return PreviewMap(weight, solution[-1])


def _padded(latent: Tensor) -> Tensor:
    margin = KERNEL // 2
    return pad(latent, (margin,) * 4, mode="replicate")


def _pictures(side: int) -> Tensor:
    """(PICTURES, 3, side, side) in [-1, 1]: discs and squares of any colour on a ground of any colour."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand((PICTURES, *shape), generator=random)

    def colour() -> Tensor:
        return (draw(3, 1, 1) * (1 + 2 * BEYOND) - BEYOND).clamp(0, 1) * 2 - 1

    across, down = torch.arange(side)[None, None, :], torch.arange(side)[None, :, None]
    pictures = colour().expand(-1, -1, side, side)
    for _ in range(SHAPES):
        x, y = draw(1, 1) * side, draw(1, 1) * side
        disc = ((across - x) ** 2 + (down - y) ** 2).sqrt()
        square = torch.maximum((across - x).abs(), (down - y).abs())
        inside = torch.where(draw(1, 1) < 0.5, disc, square) < (0.05 + 0.25 * draw(1, 1)) * side
        pictures = torch.where(inside[:, None], colour(), pictures)
    return pictures
