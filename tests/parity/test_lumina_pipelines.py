"""From the same seed, weights and sigmas, the latents are those of diffusers' two Lumina pipelines.

What those do otherwise than the defaults here is switched on by name: guidance of three channels and the grid
whose last step does next to nothing (Lumina-Next), the norm of each row of the latent (Lumina-Image 2.0).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Lumina2Pipeline, LuminaPipeline

from sd3demo.catalogue import find
from sd3demo.engine import plan
from sd3demo.models import load
from sd3demo.settings import Request, text_inputs
from sd3demo.settings.extrapolation import Extrapolation
from tests.engine.runs import HERE, Ran, run

pytestmark = pytest.mark.parity

Checkpoint = Callable[..., Path]

STEPS = 4
PROMPT, NEGATIVE = " a Red circle above a blue square", "a Red square"
STOCK = {
    "lumina-next": {"guided_channels": "three", "schedule": "diffusers"},
    "lumina2": {"renorm": "rows"},
}
SIZES = pytest.mark.parametrize("size", [(64, 64), (128, 32)], ids=["square", "wide"])


def pipeline(folder: Path) -> Any:
    kind = LuminaPipeline if "lumina-next" in folder.name else Lumina2Pipeline
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def reference(folder: Path, ran: Ran, **words: object) -> torch.Tensor:
    """What the pipeline makes of a plan, by the scheduler of the checkpoint."""
    request = ran.plan.request
    if "lumina-next" in folder.name:
        words = {"clean_caption": False, **words}
        if request.schedule == "uniform":
            words["sigmas"] = list(ran.plan.sigmas[:-1])
    made = pipeline(folder)(
        prompt=[request.prompt] * request.count,
        negative_prompt=[request.negative] * request.count,
        guidance_scale=request.cfg,
        width=request.width,
        height=request.height,
        num_inference_steps=request.steps,
        generator=[torch.Generator().manual_seed(seed) for seed in ran.plan.seeds],
        output_type="latent",
        **words,
    )
    found: torch.Tensor = made.images
    return found


def values(folder: Path, **settings: object) -> dict[str, object]:
    said = {"prompt": PROMPT, "negative": NEGATIVE, "model": str(folder), "seed": 3, "steps": STEPS, "cfg": 4}
    return said | settings


def asked(folder: Path, **settings: object) -> Request:
    return Request.model_validate(values(folder, **settings))


@SIZES
@pytest.mark.parametrize("kind", STOCK)
@pytest.mark.parametrize("cfg", [1, 4])
@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_latents_are_the_pipelines(
    checkpoint: Checkpoint, kind: str, cfg: float, count: int, size: tuple[int, int]
) -> None:
    folder = checkpoint(kind)
    ran = run(asked(folder, cfg=cfg, count=count, width=size[0], height=size[1], **STOCK[kind]))
    torch.testing.assert_close(ran.latents, reference(folder, ran), rtol=0, atol=1e-5)
    assert ran.finished.calls == STEPS * (1 if cfg == 1 else 2)


def test_the_uniform_grid_is_given_to_lumina_nexts_pipeline_as_sigmas(checkpoint: Checkpoint) -> None:
    folder = checkpoint("lumina-next")
    ran = run(asked(folder, guided_channels="three"))
    assert ran.plan.request.schedule == "uniform"
    torch.testing.assert_close(ran.latents, reference(folder, ran), rtol=0, atol=1e-5)


def test_all_channels_are_guided_unless_three_are_asked_for(checkpoint: Checkpoint) -> None:
    folder = checkpoint("lumina-next")
    ran = run(asked(folder, steps=1))
    assert ran.plan.request.guided_channels == "all"
    apart = (ran.latents - reference(folder, ran)).abs().amax(dim=(0, 2, 3))
    assert apart[:3].max() <= 1e-5
    assert apart[3] > 1e-3


@pytest.mark.parametrize("truncation", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("renorm", ["rows", "off"])
def test_renormalisation_and_truncation_are_the_pipelines(
    checkpoint: Checkpoint, renorm: str, truncation: float
) -> None:
    folder = checkpoint("lumina2")
    ran = run(asked(folder, renorm=renorm, cfg_truncation=truncation))
    expected = reference(folder, ran, cfg_normalization=renorm == "rows", cfg_trunc_ratio=truncation)
    torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)
    assert ran.finished.calls == STEPS + round(STEPS * truncation)


def test_the_norm_of_the_whole_picture_is_the_default_and_another(checkpoint: Checkpoint) -> None:
    folder = checkpoint("lumina2")
    ran = run(asked(folder))
    assert ran.plan.request.renorm == "whole"
    assert (ran.latents - reference(folder, ran)).abs().max() > 1e-3


def test_a_system_prompt_of_ones_own_is_the_pipelines(checkpoint: Checkpoint) -> None:
    folder = checkpoint("lumina2")
    ran = run(asked(folder, renorm="rows", system_prompt="a square"))
    torch.testing.assert_close(
        ran.latents, reference(folder, ran, system_prompt="a square"), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("watershed", [0.3, 1.0, 0.0])
def test_lumina_nexts_watershed_is_a_policy_of_positions(checkpoint: Checkpoint, watershed: float) -> None:
    """0.3 is the paper's; diffusers' default, 1, interpolates at all times, and 0 never."""
    folder = checkpoint("lumina-next")
    positions = {0.3: "time-aware", 1.0: "interpolate", 0.0: "per-frequency"}[watershed]
    larger = {"scale": 2, "width": 128, "height": 128, "method": "direct", "positions": positions}
    settings = {**larger, "attention": "log", "reshift": 1, "steps": 6, **STOCK["lumina-next"]}
    ran = run(Extrapolation.model_validate(values(folder, **settings)))
    expected = reference(folder, ran, scaling_watershed=watershed)
    torch.testing.assert_close(ran.latents, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", STOCK)
@torch.inference_mode()
def test_texts_are_encoded_as_the_pipeline_does(checkpoint: Checkpoint, kind: str) -> None:
    """Its padding, whatever the side and the length, is masked: a text's own tokens are compared."""
    folder = checkpoint(kind)
    spec, request = find(str(folder)), asked(folder)
    model = load(spec, torch.float32)
    clean = {"clean_caption": False} if kind == "lumina-next" else {}
    found = pipeline(folder).encode_prompt(PROMPT, negative_prompt=NEGATIVE, **clean)
    for negative in (False, True):
        told: Any = model.encode(text_inputs(request, spec, negative=negative))
        tokens, mask = found[2 * negative], found[2 * negative + 1].bool()
        torch.testing.assert_close(told.tokens[:, : told.words], tokens[mask][None], rtol=0, atol=1e-5)
    words = [model.encode(text_inputs(request, spec, negative=negative)).words for negative in (False, True)]
    assert words[0] > words[1]
    assert (words[0] > 20) == (kind == "lumina2"), "the system prompt is the prompt's alone"


@pytest.mark.parametrize("kind", STOCK)
@torch.inference_mode()
def test_the_picture_is_the_pipelines_to_one_level_of_eight_bits(checkpoint: Checkpoint, kind: str) -> None:
    folder = checkpoint(kind)
    ran = run(asked(folder))
    pipe = pipeline(folder)
    latents = ran.latents / pipe.vae.config.scaling_factor + (pipe.vae.config.shift_factor or 0.0)
    image = pipe.image_processor.postprocess(pipe.vae.decode(latents).sample, output_type="np")[0] * 255
    assert np.abs(ran.finished.pictures[0] - image).max() <= 1


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_the_grids_are_the_schedulers_own(checkpoint: Checkpoint, steps: int) -> None:
    folder = checkpoint("lumina2")
    scheduler = pipeline(folder).scheduler
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=0.0)
    planned = plan(asked(folder, steps=steps), find(str(folder)), HERE)
    np.testing.assert_allclose(planned.sigmas, scheduler.sigmas.numpy(), rtol=0, atol=1e-6)


def test_dynamic_shifting_follows_the_patches_and_not_the_channels(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Lumina2Pipeline takes the number of channels for that of patches; --shift gives what it then does."""
    import json
    import math
    import shutil

    folder = Path(shutil.copytree(checkpoint("lumina2"), tmp_path / "lumina2"))
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_dynamic_shifting": True}))
    right = plan(asked(folder, width=128, height=128), find(str(folder)), HERE).request.shift
    assert right == pytest.approx(math.exp(0.5 + 0.65 * (64 - 256) / 3840))
    of_channels = math.exp(0.5 + 0.65 * (16 - 256) / 3840)
    ran = run(asked(folder, shift=of_channels, renorm="rows", width=128, height=128))
    torch.testing.assert_close(ran.latents, reference(folder, ran), rtol=0, atol=1e-5)
