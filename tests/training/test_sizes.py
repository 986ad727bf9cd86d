"""Sizes in training: how they are named, where patches lie, and that scenes are the same scenes at each."""

import random
from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel

from sd3demo.catalogue import find
from sd3demo.engine.plan.sizes import sizes_of
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.tuning import Toolkit
from sd3demo.models.sd3.positions import PositionCache
from sd3demo.settings import parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.training.dataset import LABELS, Feeds, draw_at, patch_labels
from sd3demo.training.flow import Recipe, density_at
from sd3demo.training.settings import TrainSettings
from sd3demo.training.sizes import OWN, PictureSize, Positions, fitted, rows_of
from sd3demo.training.transformer import mmdit
from sd3demo.world.render import render
from sd3demo.world.scenes import Scene, draw

CPU = torch.device("cpu")
SIZES = ("48", "64", "96", "128", "96x64", "64x96", "72x56", "128x64")


@pytest.fixture(scope="module")
def network() -> SD3Transformer2DModel:
    return mmdit(2)


def test_sizes_are_read_as_typed_and_as_a_mapping() -> None:
    typed = parse(TrainSettings, {"sizes": "48=1,64=4,96x64=.5"})
    assert typed.sizes == {"48": 1.0, "64": 4.0, "96x64": 0.5}
    assert TrainSettings(sizes=typed.sizes).sizes == typed.sizes
    assert TrainSettings().sizes == {"64": 1.0}
    assert [str(PictureSize.read(name)) for name in SIZES] == list(SIZES)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ("100=1", "sizes names 100; sides divide by 8, from 32 to 512 px: try 96"),
        ("64=1,96x60=2", "sizes names 96x60; sides divide by 8, from 32 to 512 px: try 64"),
        ("16=1", "sides divide by 8, from 32 to 512 px: try 32"),
        ("1024=1", "sides divide by 8, from 32 to 512 px: try 512"),
        ("64x64x3=1", "sizes names '64x64x3'; a size is a side such as 96, or width x height such as 96x64"),
        ("large=1", "sizes names 'large'; a size is a side such as 96"),
        ("64=-1", r"sizes is .*; the shares must be 0 or more and not all 0, such as 64=4,96=2"),
        ("64=0,96=0", r"sizes is .*; the shares must be 0 or more and not all 0"),
        ("64=half", "sizes is 'half'; input should be a valid number"),
    ],
)
def test_sizes_that_cannot_be_trained_are_refused_before_anything_is_written(
    sizes: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=sentence):
        parse(TrainSettings, {"out": tmp_path / "never", "sizes": sizes})
    assert not (tmp_path / "never").exists()


def test_positions_at_the_native_size_are_the_tables_to_the_last_bit(network: SD3Transformer2DModel) -> None:
    assert torch.equal(Positions(network)(OWN), network.pos_embed.cropped_pos_embed(*OWN.latent))


@pytest.mark.parametrize("name", [name for name in SIZES if name != "48"])
def test_positions_are_those_that_sampling_uses(name: str, network: SD3Transformer2DModel) -> None:
    size = PictureSize.read(name)
    asked = Extrapolation(prompt="-", width=size.width, height=size.height)
    sizes = sizes_of(asked, find("tiny"))
    assert sizes.native == (size.native.width, size.native.height)
    policy = "extend" if sizes.native == sizes.target else "interpolate"
    toolkit = Toolkit(policy, (sizes.native[1] // 4, sizes.native[0] // 4))
    assert torch.equal(Positions(network)(size), PositionCache(network, toolkit)(*size.latent, 0.0, False))


@pytest.mark.parametrize("name", ["48", "96", "128", "256"])
def test_every_square_looks_through_the_native_window(name: str, network: SD3Transformer2DModel) -> None:
    """The fastest wave turns by native / S from patch to patch, about the window's middle."""

    def turns(size: PictureSize) -> torch.Tensor:
        rows = Positions(network)(size)[0].double().unflatten(0, size.grid)[:, 0]
        quarter = rows.shape[1] // 4
        return torch.complex(rows[:, 3 * quarter], rows[:, 2 * quarter])  # the row's first sine and cosine

    size = PictureSize.read(name)
    found, native = turns(size), turns(OWN)
    step = torch.tensor(OWN.grid[0] / size.grid[0]).double()
    assert torch.allclose(found[1:] / found[:-1], torch.polar(torch.ones_like(step), step), atol=1e-3)
    assert torch.allclose(found[0] * found[-1], native[0] * native[-1], atol=1e-3)


@pytest.mark.parametrize("name", SIZES)
def test_pictures_and_labels_are_of_the_size_and_show_the_scene(name: str) -> None:
    size = PictureSize.read(name)
    scenes = [draw(random.Random(seed)) for seed in range(8)]
    pictures, labels = draw_at(scenes, size, CPU), patch_labels(scenes, CPU, size)
    rows, columns = size.grid
    assert pictures.shape == (8, 3, size.height, size.width)
    assert labels.shape == (8, rows * columns, LABELS)
    # Things cover the same area in units of the shorter side, and the same kinds of them.
    short = min(size.grid)
    native = patch_labels(scenes, CPU)
    assert torch.allclose(labels.sum(1) / short**2, native.sum(1) / OWN.grid[0] ** 2, atol=0.01)
    assert torch.equal(labels.sum(1) > 0, native.sum(1) > 0)


@pytest.mark.parametrize("side", [48, 64, 96])
def test_a_square_is_what_the_world_draws(side: int) -> None:
    scenes = [draw(random.Random(seed)) for seed in range(4)]
    assert torch.equal(draw_at(scenes, PictureSize(side, side), CPU), render(scenes, side))


def test_places_are_stretched_with_the_picture_and_things_are_not() -> None:
    scenes = [draw(random.Random(seed), {"count": 1}) for seed in range(4)]
    wide, tall = PictureSize(96, 64), PictureSize(64, 96)
    for scene in scenes:
        for one, other in zip(fitted(scene, wide, 64).things, fitted(scene, tall, 64).things, strict=True):
            assert (one.x, 1.5 * one.y) == pytest.approx((1.5 * other.x, other.y))
            assert one.r == other.r


@pytest.mark.parametrize("name", ["96x64", "64x96", "128x64"])
def test_nothing_is_cut_off_a_picture_of_another_shape(name: str) -> None:
    size = PictureSize.read(name)
    wide, tall = size.width / min(size.width, size.height), size.height / min(size.width, size.height)
    for seed in range(200):
        scene: Scene = fitted(draw(random.Random(seed)), size, min(size.width, size.height))
        for thing in scene.things:
            assert thing.r <= thing.x <= wide - thing.r
            assert thing.r <= thing.y <= tall - thing.r
        if (word := scene.lettering) is not None:
            half = len(word.text) * word.height / 2
            assert half - 1e-9 <= word.x <= wide - half + 1e-9


class Told:
    """Stands for a feed: says what it was asked for."""

    def __init__(self, size: PictureSize) -> None:
        self.size, self.asked = size, []

    def next(self, batch: int, **drawn: object) -> tuple[PictureSize, int]:
        self.asked.append(batch)
        return self.size, batch


def test_each_batch_is_of_one_size_by_the_shares_and_of_as_many_patches() -> None:
    told = [Told(PictureSize.read(name)) for name in ("48", "64", "128")]
    feeds = Feeds(told, [1, 6, 1], seed=0)  # type: ignore[arg-type]
    for _ in range(800):
        feeds.next(64, unconditional=0.1, zeroed=(0, 0, 0))
    assert [set(one.asked) for one in told] == [{114}, {64}, {16}]
    assert 560 <= len(told[1].asked) <= 640  # 600, three standard errors either way
    assert rows_of(PictureSize.read("512"), 4) == 1


def test_larger_sizes_have_more_noise_as_far_as_is_asked() -> None:
    recipe = Recipe(density=(1.0, 1.5), density_by_size=1.0)
    assert density_at(recipe, OWN) == density_at(Recipe(density=(1.0, 1.5)), PictureSize(128, 128))
    shifted = density_at(recipe, PictureSize(128, 128))
    # SD3, eq. 23: the logit of t is moved by ln 2, so that t' = 2 t / (1 + t).
    t = torch.tensor(0.4)
    assert torch.isclose(torch.logit(2 * t / (1 + t)) - torch.logit(t), torch.tensor(shifted.m - 1.0))
