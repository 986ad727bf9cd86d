"""A run that starts from a picture, and inpainting: what is outside the mask is held.

On a rectified flow the noised picture moves along the straight line z_t = (1 - t) x0 + t eps, whose velocity
is eps - x0. So outside the mask the solver is given that velocity in place of the network's, and stays on the
line, whatever the solver: with Euler's steps it is what diffusers' inpainting pipelines do when they put the
noised picture back after each step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sd3demo.engine.init_picture import HALF, InitPicture
from sd3demo.engine.run.enlarging import as_image


@dataclass(frozen=True, eq=False)
class ImageStart:
    """The latent of a picture (B, C, h, w) with the noise that goes with it, and where it is repainted."""

    given: Tensor
    noise: Tensor
    repainted: Tensor | None
    """(1, 1, h, w), true where it is; None where all is."""

    def at(self, t: float) -> Tensor:
        """The noised picture at a time; at t = 1 the noise to the last bit."""
        return self.noise if t == 1 else (1 - t) * self.given + t * self.noise

    def latent(self, x: Tensor, t: float) -> Tensor:
        """A latent at a time, with the noised picture outside the mask; at t = 0 with the picture itself."""
        return x if self.repainted is None else torch.where(self.repainted, x, self.at(t))

    def velocity(self, v: Tensor) -> Tensor:
        """A velocity, with that of the straight line outside the mask."""
        return v if self.repainted is None else torch.where(self.repainted, v, self.noise - self.given)


def image_start(init: InitPicture, latent: Tensor, noise: Tensor) -> ImageStart:
    """The start of a run from a picture whose latent this is."""
    repainted = None
    if init.mask is not None:
        repainted = repainted_latent(torch.from_numpy(init.mask).to(latent.device), latent.shape[-2:])
    return ImageStart(latent, noise, repainted)


def repainted_latent(mask: Tensor, size: torch.Size) -> Tensor:
    """(1, 1, h, w) of a mask (H, W): an entry is repainted where any of its pixels is white.

    diffusers takes the pixel in the corner of each entry, and so keeps white pixels at the lower right edges.
    """
    white = (mask >= HALF).float()[None, None]
    return torch.nn.functional.adaptive_max_pool2d(white, (size[0], size[1])) > 0


def pasted(image: Tensor, init: InitPicture) -> Tensor:
    """The decoded pictures (B, 3, H, W) with the given one outside the mask, where it is black to the bit.

    Between black and white both are mixed, so that a mask with soft edges leaves no seam.
    """
    if init.mask is None:
        return image
    share = torch.from_numpy(init.mask).to(image.device)[None, None].float() / 255
    return torch.lerp(as_image(init.pixels, image.device), image.float(), share)
