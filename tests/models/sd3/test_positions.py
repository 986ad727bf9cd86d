"""Positions between and beyond a table's entries: exact where it holds waves, and taken from it alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from torch import Tensor
from torch.nn.functional import interpolate

from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.tuning import POSITIONS, Toolkit
from sd3demo.models.sd3.positions import PositionCache, read_table
from tests.checkpoints import KINDS, pipeline

SIDE, WIDTH = 16, 32
PATCH = 2


@pytest.fixture
def network() -> SD3Transformer2DModel:
    found: SD3Transformer2DModel = pipeline(KINDS["sd3-medium"]).transformer
    found.requires_grad_(False)
    return found.double()


def with_table(network: SD3Transformer2DModel, table: Tensor) -> SD3Transformer2DModel:
    network.pos_embed.pos_embed = table.reshape(1, SIDE * SIDE, -1)
    return network


def waves(rows: Tensor, columns: Tensor, frequencies: Tensor) -> Tensor:
    """A table of one's own making: (1, H W, D) of sines and cosines of any frequencies."""

    def along(places: Tensor) -> Tensor:
        angles = places[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=1)

    down, across = along(rows), along(columns)
    grid = (across.expand(len(rows), -1, -1), down[:, None].expand(-1, len(columns), -1))
    return torch.cat(grid, dim=-1).reshape(1, len(rows) * len(columns), -1)


FREQUENCIES = torch.tensor([1.3, 0.9, 0.31, 0.1, 0.02, 0.011, 0.003, 0.0007], dtype=torch.float64)
ENTRIES = torch.arange(SIDE, dtype=torch.float64) * 0.77 - 2.1  # neither start nor step is diffusers'


@pytest.mark.parametrize("patches", [4, 6, 12, 16])
@pytest.mark.parametrize("native", [4, 6, 5])
def test_interpolated_positions_are_those_of_the_waves_themselves(
    network: SD3Transformer2DModel, patches: int, native: int
) -> None:
    placed = PositionCache(
        with_table(network, waves(ENTRIES, ENTRIES, FREQUENCIES)),
        Toolkit("interpolate", native=(native * PATCH, native * PATCH)),
    )
    found = placed(patches * PATCH, patches * PATCH, 0.5, False)
    middle = (SIDE - native) // 2 + (native - 1) / 2
    places = middle + (torch.arange(patches, dtype=torch.float64) - (patches - 1) / 2) * native / patches
    expected = waves(places * 0.77 - 2.1, places * 0.77 - 2.1, FREQUENCIES)
    assert (found - expected).abs().max() < 1e-12


def test_it_is_far_better_than_resampling_the_table(network: SD3Transformer2DModel) -> None:
    table = waves(ENTRIES, ENTRIES, FREQUENCIES)
    placed = PositionCache(with_table(network, table), Toolkit("interpolate", native=(8, 8)))
    found = placed(16, 16, 0.5, False)
    crop = table.reshape(SIDE, SIDE, -1)[6:10, 6:10].permute(2, 0, 1)[None]
    resampled = interpolate(crop, size=(8, 8), mode="bicubic")[0].permute(1, 2, 0).reshape(1, 64, -1)
    assert (found - resampled).abs().max() > 1e-2


@pytest.mark.parametrize("size", [(16, 16), (16, 8), (6, 14), (32, 32)])
def test_extended_positions_are_the_stock_crop_to_the_last_bit(
    network: SD3Transformer2DModel, size: tuple[int, int]
) -> None:
    placed = PositionCache(network, Toolkit("extend", native=(8, 8)))
    assert torch.equal(placed(*size, 0.5, False), network.pos_embed.cropped_pos_embed(*size))


@pytest.mark.parametrize("positions", [name for name in POSITIONS if name != "extend"])
def test_a_picture_larger_than_the_table_has_positions_of_the_right_size_on_the_circle(
    network: SD3Transformer2DModel, positions: str
) -> None:
    placed = PositionCache(network, Toolkit(positions, native=(8, 12)))
    found = placed(64, 96, 0.3, False)
    assert found.shape == (1, 32 * 48, WIDTH)
    for half in found.chunk(2, dim=-1):
        sines, cosines = half.chunk(2, dim=-1)
        torch.testing.assert_close(sines**2 + cosines**2, torch.ones_like(sines))


def test_by_frequency_the_highest_keeps_its_spacing_and_the_lowest_spans_the_native_window(
    network: SD3Transformer2DModel,
) -> None:
    table = read_table(with_table(network, waves(ENTRIES, ENTRIES, FREQUENCIES)))
    assert table.rows.ranks[0] == 0
    assert table.rows.ranks[-1] == pytest.approx(1)
    placed = PositionCache(network, Toolkit("per-frequency", native=(8, 8)))
    found = placed(32, 8, 0.5, False).reshape(16, 4, WIDTH)[:, 0, WIDTH // 2 :]
    angles = np.unwrap(np.arctan2(*(part.numpy() for part in found.chunk(2, dim=1))), axis=0)
    steps = angles[1] - angles[0]
    np.testing.assert_allclose(steps[0], FREQUENCIES[0] * 0.77)
    np.testing.assert_allclose(steps[-1], FREQUENCIES[-1] * 0.77 / 4)
    ratios = steps / (FREQUENCIES.numpy() * 0.77)
    assert (np.diff(ratios) < 0).all()


def test_a_multiple_of_the_base_divides_the_lowest_frequency_by_as_much(
    network: SD3Transformer2DModel,
) -> None:
    """b' = 2.5 b s (I-Max, section 2.3): the lowest of the frequencies b^-rank becomes 1 / (2.5 s) of it."""
    table = with_table(network, waves(ENTRIES, ENTRIES, FREQUENCIES))
    steps = []
    for name in ("per-frequency", "per-frequency-2.5"):
        found = PositionCache(table, Toolkit(name, native=(8, 8)))(32, 8, 0.5, False).reshape(16, 4, WIDTH)
        angles = np.unwrap(
            np.arctan2(*(part.numpy() for part in found[:, 0, WIDTH // 2 :].chunk(2, dim=1))), axis=0
        )
        steps.append(angles[1] - angles[0])
    np.testing.assert_allclose(steps[1][0], steps[0][0])
    np.testing.assert_allclose(steps[1][-1], steps[0][-1] / 2.5)


def test_half_precision_tables_are_read_all_the_same(network: SD3Transformer2DModel) -> None:
    analytic = torch.as_tensor(get_2d_sincos_pos_embed(WIDTH, SIDE, base_size=8, output_type="pt"))
    exact = PositionCache(with_table(network, analytic.double()), Toolkit("interpolate", native=(8, 8)))
    expected = exact(32, 32, 0.5, False)
    rounded = PositionCache(with_table(network, analytic.half()), Toolkit("interpolate", native=(8, 8)))
    assert (rounded(32, 32, 0.5, False).double() - expected).abs().max() < 2e-3


def test_positions_that_vary_with_t_are_made_at_each_t(network: SD3Transformer2DModel) -> None:
    placed = PositionCache(network, Toolkit("scheduled", native=(8, 8)))
    at: Callable[[float], Tensor] = lambda t: placed(16, 16, t, False)  # noqa: E731
    assert torch.equal(at(0.0), at(0.0))
    assert not torch.allclose(at(0.0), at(1.0), atol=1e-2)
    interpolated = PositionCache(network, Toolkit("interpolate", native=(8, 8)))(16, 16, 0.5, False)
    torch.testing.assert_close(at(1.0), interpolated)
    # At t = 0 the spacing is the table's own, and its middle that of the native window.
    torch.testing.assert_close(at(0.0), network.pos_embed.cropped_pos_embed(16, 16))


def test_a_table_that_is_not_of_rows_and_columns_is_refused(network: SD3Transformer2DModel) -> None:
    mixed = torch.randn(1, SIDE * SIDE, WIDTH, generator=torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match="not made of rows and columns"):
        read_table(with_table(network, mixed))
