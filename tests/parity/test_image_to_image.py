"""Image to image and inpainting give the latents of diffusers' pipelines, strength counted in steps.

What differs from them is chosen: the picture's latent is the posterior's mean, which they sample, so that the
noise is the seed's own as in a plain run; and the default strength is a time. Both are set alike here.
"""

from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from PIL import Image

from tests.engine.runs import Ran, run
from tests.parity.test_pipeline import asked
from tests.pictures import draw_init, draw_mask

pytestmark = pytest.mark.parity

PIPELINES = {
    "sd3-medium": ("StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    "sd3.5-medium": ("StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    "flux-dev": ("FluxImg2ImgPipeline", "FluxInpaintPipeline"),
    "flux-schnell": ("FluxImg2ImgPipeline", "FluxInpaintPipeline"),
}


def reference(
    folder: Path, name: str, ran: Ran, init: Path, mask: Path | None, monkeypatch: pytest.MonkeyPatch
) -> torch.Tensor:
    request, kind = ran.plan.request, getattr(diffusers, name)
    module = __import__(kind.__module__, fromlist=["retrieve_latents"])
    monkeypatch.setattr(module, "retrieve_latents", lambda found, **_: found.latent_dist.mode())
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    guided = {"true_cfg_scale": request.cfg} if "Flux" in name else {"guidance_scale": request.cfg}
    if "Flux" in name and request.guidance != "auto":
        guided["guidance_scale"] = request.guidance
    latents = pipe(
        prompt=request.prompt,
        negative_prompt=request.negative,
        image=Image.open(init),
        **({} if mask is None else {"mask_image": Image.open(mask)}),
        strength=request.image_strength,
        width=request.width,
        height=request.height,
        num_inference_steps=request.steps,
        max_sequence_length=request.max_sequence_length,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
        **guided,
    ).images
    if "Flux" in name:
        latents = pipe._unpack_latents(latents, request.height, request.width, pipe.vae_scale_factor)
    return latents


@pytest.mark.parametrize("kind", PIPELINES)
@pytest.mark.parametrize(
    "masked", [pytest.param(False, id="whole", marks=pytest.mark.slow), pytest.param(True, id="masked")]
)
@pytest.mark.parametrize(("strength", "cfg", "size"), [(0.6, 2.5, (64, 64)), (0.95, 1, (96, 40))])
def test_the_latents_are_the_pipelines(
    checkpoint: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    masked: bool,
    strength: float,
    cfg: float,
    size: tuple[int, int],
) -> None:
    folder, init = checkpoint(kind), draw_init(tmp_path, *size)
    mask = draw_mask(tmp_path, *size) if masked else None
    files = {"init": str(init)} | ({"mask": str(mask)} if mask else {})
    ran = run(asked(folder, **files, image_strength=strength, strength_as="steps", cfg=cfg))
    expected = reference(folder, PIPELINES[kind][masked], ran, init, mask, monkeypatch)
    torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)
