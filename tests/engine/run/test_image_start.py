"""A run from a picture begins on the straight line to the noise, and holds what is outside the mask."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.run.enlarging import as_image
from sd3demo.engine.run.image_start import repainted_latent
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation
from tests.engine.runs import run
from tests.pictures import draw_init, draw_mask

KINDS = ("sd3.5-medium", "flux-dev", "lumina-next", "lumina2")


def asked(folder: Path | str, **settings: object) -> Request:
    values = {"prompt": "a red circle", "model": str(folder), "seed": 3, "steps": 3, "shift": 1}
    return parse(Request, values | settings)


def opened(file: Path) -> np.ndarray:
    return np.array(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("kind", KINDS)
def test_it_begins_at_the_strength_and_keeps_what_is_black_in_every_family(
    checkpoint: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    init, mask = draw_init(tmp_path), draw_mask(tmp_path)
    engine = Engine()
    ran = run(
        asked(checkpoint(kind), init=str(init), mask=str(mask), image_strength=0.7, count=2), engine=engine
    )
    with engine.hold(ran.plan) as loaded, torch.inference_mode():
        latent = loaded.model.to_latent(as_image(opened(init), torch.device("cpu")))
    shape = ran.plan.spec.latent.shape(64, 64)
    noise = torch.cat(
        [torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    )
    assert ran.plan.sigmas[0] == 0.7
    torch.testing.assert_close(ran.steps[0].x, 0.3 * latent + 0.7 * noise)
    kept = slice(0, shape[2] // 2)
    torch.testing.assert_close(
        ran.latents[..., kept], latent.expand_as(ran.latents)[..., kept], atol=1e-5, rtol=0
    )
    for picture in ran.finished.pictures:
        np.testing.assert_array_equal(picture[:, :32], opened(init)[:, :32])
        assert (picture[:, 32:] != opened(init)[:, 32:]).any()


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_kept_is_kept_by_every_solver(
    checkpoint: Callable[..., Path], tmp_path: Path, solver: str
) -> None:
    init, mask = draw_init(tmp_path), draw_mask(tmp_path)
    ran = run(
        asked(
            checkpoint("sd3-medium"), init=str(init), mask=str(mask), image_strength=1, solver=solver, cfg=1
        )
    )
    np.testing.assert_array_equal(ran.finished.pictures[0][:, :32], opened(init)[:, :32])
    lines = torch.stack([step.x for step in ran.steps])[..., :8]
    times = torch.tensor([step.at.t for step in ran.steps])
    first, last = lines[0], ran.latents[..., :8]
    straight = torch.stack([(1 - t) * last + t * first for t in times])
    torch.testing.assert_close(lines, straight, atol=1e-5, rtol=0)


def test_at_strength_1_without_a_mask_it_is_the_plain_run(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = checkpoint("sd3-medium")
    plain = run(asked(folder))
    full = run(asked(folder, init=str(draw_init(tmp_path)), image_strength=1))
    np.testing.assert_array_equal(plain.finished.pictures[0], full.finished.pictures[0])
    assert plain.finished.noise_sha256 == full.finished.noise_sha256


def test_runs_from_pictures_go_together(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, init, mask = checkpoint("sd3-medium"), draw_init(tmp_path), draw_mask(tmp_path)
    requests = [
        asked(folder, init=str(init), image_strength=0.4),
        asked(folder, init=str(init), mask=str(mask), image_strength=0.9),
        asked(folder),
    ]
    plans = [plan(each, find(each.model), Budget()) for each in requests]
    together = {
        news.run: news.event for news in Engine().run_batch(plans) if isinstance(news.event, Finished)
    }
    for place, each in enumerate(requests):
        alone = run(each).finished
        apart = np.abs(together[place].pictures[0].astype(int) - alone.pictures[0])
        assert apart.max() <= 1
        assert together[place].inputs.keys() == alone.inputs.keys()


def test_a_native_stage_that_starts_from_a_picture_is_made_larger(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    values = {"prompt": "a", "model": str(checkpoint("sd3-medium")), "steps": 2, "scale": 2}
    request = parse(Extrapolation, values | {"init": str(draw_init(tmp_path)), "image_strength": 0.5})
    made = plan(request, find(request.model), Budget())
    finished = list(Engine().run(made))[-1]
    assert isinstance(finished, Finished)
    assert made.request.init_sha256
    assert finished.arms["native"].sigmas[0] == 0.5


def test_a_latent_entry_is_repainted_where_any_of_its_pixels_is_white() -> None:
    mask = torch.zeros(16, 16, dtype=torch.uint8)
    mask[7, 7], mask[8, 15] = 255, 127
    assert repainted_latent(mask, torch.Size((2, 2))).flatten().tolist() == [True, False, False, False]
