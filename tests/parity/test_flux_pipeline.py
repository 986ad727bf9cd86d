"""From the same seed, weights and sigmas, the latents are those of diffusers' FluxPipeline."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from sd3demo.catalogue import find
from sd3demo.models import load
from sd3demo.settings import Request
from tests.engine.runs import Ran, run
from tests.models.inputs import inputs

pytestmark = pytest.mark.parity

STEPS = 4
PROMPT, NEGATIVE = "a red circle above a blue square", "a red square"
KINDS = ("flux-dev", "flux-schnell")
SIZES = pytest.mark.parametrize("size", [(64, 64), (96, 40)], ids=["square", "wide"])


def pipeline(folder: Path) -> FluxPipeline:
    pipe = FluxPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def reference(folder: Path, ran: Ran, **words: object) -> torch.Tensor:
    """What the pipeline makes of a plan, by the scheduler of the checkpoint."""
    request = ran.plan.request
    pipe = pipeline(folder)
    guided = {"negative_prompt": request.negative} if request.cfg > 1 else {}
    made = pipe(
        prompt=[request.prompt] * request.count,
        **{name: [text] * request.count for name, text in guided.items()},
        true_cfg_scale=request.cfg,
        width=request.width,
        height=request.height,
        num_inference_steps=request.steps,
        max_sequence_length=request.max_sequence_length,
        generator=[torch.Generator().manual_seed(seed) for seed in ran.plan.seeds],
        output_type="latent",
        **({"guidance_scale": request.guidance} if request.guidance != "auto" else {}),
        **words,
    )
    return pipe._unpack_latents(made.images, request.height, request.width, pipe.vae_scale_factor)


def asked(folder: Path, **settings: object) -> Request:
    values = {"prompt": PROMPT, "negative": NEGATIVE, "model": str(folder), "seed": 3, "steps": STEPS}
    return Request.model_validate(values | settings)


@SIZES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cfg", [1, 2.5])
@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_latents_are_the_pipelines(
    checkpoint: Callable[..., Path], kind: str, cfg: float, count: int, size: tuple[int, int]
) -> None:
    folder = checkpoint(kind)
    ran = run(asked(folder, cfg=cfg, count=count, width=size[0], height=size[1]))
    expected = reference(folder, ran)
    torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)
    assert ran.finished.calls == STEPS * (1 if cfg == 1 else 2)


@pytest.mark.slow
def test_embedded_guidance_is_the_pipelines(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("flux-dev")
    weak, strong = (run(asked(folder, guidance=scale)) for scale in (1.5, 7.0))
    for ran in (weak, strong):
        torch.testing.assert_close(ran.latents, reference(folder, ran), rtol=0, atol=1e-5)
    assert (weak.latents - strong.latents).abs().max() > 1e-3


def test_a_text_of_its_own_reaches_t5(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("flux-dev")
    ran = run(asked(folder, prompt_3="a blue square"))
    expected = reference(folder, ran, prompt_2="a blue square")
    torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_encoded_as_the_pipeline_does(checkpoint: Callable[..., Path], kind: str) -> None:
    folder = checkpoint(kind)
    spec = find(str(folder))
    told = load(spec, torch.float32).encode(inputs(spec, PROMPT))
    tokens, pooled, _ = pipeline(folder).encode_prompt(PROMPT, max_sequence_length=spec.encoders[-1].tokens)
    torch.testing.assert_close(told.tokens, tokens, rtol=0, atol=1e-6)
    torch.testing.assert_close(told.pooled, pooled, rtol=0, atol=1e-6)


@pytest.mark.slow
@torch.inference_mode()
def test_the_picture_is_the_pipelines_to_one_level_of_eight_bits(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("flux-dev")
    ran = run(asked(folder))
    pipe = pipeline(folder)
    latents = ran.latents / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
    image = pipe.image_processor.postprocess(pipe.vae.decode(latents).sample, output_type="np")[0] * 255
    assert np.abs(ran.finished.pictures[0] - image).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 4, 28])
@pytest.mark.parametrize("side", [64, 128])
def test_the_grid_is_the_schedulers_own(
    checkpoint: Callable[..., Path], kind: str, steps: int, side: int
) -> None:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    folder = checkpoint(kind)
    scheduler = pipeline(folder).scheduler
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=calculate_shift((side // 8) ** 2))
    from sd3demo.engine import plan
    from tests.engine.runs import HERE

    planned = plan(asked(folder, steps=steps, width=side, height=side), find(str(folder)), HERE)
    np.testing.assert_allclose(planned.sigmas, scheduler.sigmas.numpy(), rtol=0, atol=1e-6)
