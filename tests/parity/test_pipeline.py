"""From the same seed, weights and sigmas, the latents are those of diffusers' StableDiffusion3Pipeline."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

from sd3demo.catalogue import depths, find
from sd3demo.settings import Request
from tests.checkpoints import KINDS
from tests.engine.runs import Ran, run

pytestmark = pytest.mark.parity

STEPS = 5
PROMPT, NEGATIVE = "a red circle above a blue square", "a red square"


def reference(
    folder: Path, ran: Ran, *, t5: bool = True, output: str = "latent", **words: object
) -> np.ndarray:
    """What the pipeline makes of a plan: the same prompt, seed, size, guidance and sigmas."""
    request = ran.plan.request
    parts = {} if t5 else {"text_encoder_3": None, "tokenizer_3": None}
    if (inside := ran.plan.spec.transformer) != "transformer":
        parts["transformer"] = SD3Transformer2DModel.from_pretrained(folder / inside)
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, **parts)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)  # the sigmas are given, shifted already
    made = pipe(
        prompt=request.prompt,
        negative_prompt=request.negative,
        width=request.width,
        height=request.height,
        guidance_scale=request.cfg,
        sigmas=list(ran.plan.sigmas[:-1]),
        num_inference_steps=request.steps,
        max_sequence_length=request.max_sequence_length,
        generator=torch.Generator().manual_seed(request.seed),
        output_type=output,
        **words,
    )
    return np.asarray(made.images)


def asked(folder: Path, **settings: object) -> Request:
    values = {"prompt": PROMPT, "negative": NEGATIVE, "model": str(folder), "seed": 3, "steps": STEPS}
    return Request.model_validate(values | settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t5", ["on", "zeros"])
@pytest.mark.parametrize("cfg", [pytest.param(1, marks=pytest.mark.slow), 5])
@pytest.mark.parametrize("size", [(64, 64), (96, 40)], ids=["square", "wide"])
def test_the_latents_are_the_pipelines(
    checkpoint: Callable[..., Path], kind: str, t5: str, cfg: float, size: tuple[int, int]
) -> None:
    folder = checkpoint(kind)
    ran = run(asked(folder, t5=t5, cfg=cfg, width=size[0], height=size[1]))
    expected = reference(folder, ran, t5=t5 == "on")
    np.testing.assert_allclose(ran.latents.numpy(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", depths())
@pytest.mark.parametrize("t5", ["on", "zeros"])
def test_the_embedded_models_latents_are_the_pipelines(t5: str, name: str) -> None:
    folder = find(name).folder
    prompt = f"{PROMPT} on a black background"  # what a prompt leaves open, a rounding may decide
    ran = run(Request.model_validate({"prompt": prompt, "model": name, "t5": t5, "seed": 3, "steps": STEPS}))
    expected = reference(Path(folder), ran, t5=t5 == "on")
    np.testing.assert_allclose(ran.latents.numpy(), expected, rtol=0, atol=1e-4)


def test_a_checkpoint_without_t5_gives_the_pipelines_latents(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("sd3-medium", with_t5=False)
    ran = run(asked(folder, max_sequence_length=7))
    np.testing.assert_allclose(ran.latents.numpy(), reference(folder, ran, t5=False), rtol=0, atol=1e-4)


def test_texts_of_their_own_reach_the_encoders_that_the_pipeline_gives_them_to(
    checkpoint: Callable[..., Path],
) -> None:
    folder = checkpoint("sd3-medium")
    words = {"prompt_2": "a blue square", "prompt_3": "a square on a circle"}
    ran = run(asked(folder, **words))
    np.testing.assert_allclose(ran.latents.numpy(), reference(folder, ran, **words), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["sd3.5-medium", "sd3-medium"])
@pytest.mark.parametrize("placement", ["resident", "streamed"])
def test_skip_layer_guidance_is_the_pipelines(
    checkpoint: Callable[..., Path], kind: str, placement: str
) -> None:
    """The pipeline counts steps, strictly between two shares of them; here it is an interval in t."""
    folder = checkpoint(kind)
    plain = run(asked(folder)).latents
    sigmas = run(asked(folder, steps=STEPS, cfg=1)).plan.sigmas
    skipping = {"skip_scale": 2.8, "skip_layers": "0,2", "skip_from": sigmas[2], "skip_to": sigmas[1]}
    ran = run(asked(folder, placement=placement, **skipping))
    expected = reference(
        folder,
        ran,
        skip_guidance_layers=[0, 2],
        skip_layer_guidance_scale=2.8,
        skip_layer_guidance_start=0.01,
        skip_layer_guidance_stop=0.6,
    )
    np.testing.assert_allclose(ran.latents.numpy(), expected, rtol=0, atol=1e-4)
    assert np.abs(plain.numpy() - expected).max() > 1e-2
    assert ran.finished.calls == 2 * STEPS + 2


def test_the_picture_is_the_pipelines_to_one_level_of_eight_bits(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("sd3.5-large")
    ran = run(asked(folder))
    expected = reference(folder, ran, output="np")[0] * 255
    assert np.abs(ran.finished.pictures[0] - expected).max() <= 1


@pytest.mark.parametrize("steps", [1, 2, 28])
def test_the_diffusers_convention_is_the_schedulers_own_grid(
    checkpoint: Callable[..., Path], steps: int
) -> None:
    folder = checkpoint("sd3-medium")
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler")
    scheduler.set_timesteps(steps)
    sigmas = run(asked(folder, steps=steps, cfg=1)).plan.sigmas
    np.testing.assert_allclose(sigmas, scheduler.sigmas.numpy(), rtol=0, atol=1e-6)
