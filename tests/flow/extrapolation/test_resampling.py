"""Enlarging: linear, kind to constants, and Lanczos as Pillow has it."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sd3demo.flow.extrapolation.resampling import enlarged, lanczos

KERNELS = ("bicubic", "lanczos")
SIZES = [(14, 18), (21, 9), (7, 9), (29, 31)]


def picture(seed: int = 0) -> Tensor:
    return torch.rand((2, 3, 7, 9), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", SIZES)
def test_enlarging_is_linear_and_leaves_a_constant_alone(kernel: str, size: tuple[int, int]) -> None:
    a, b = picture(1), picture(2)
    both = enlarged(2 * a - 3 * b, size, kernel)  # type: ignore[arg-type]
    torch.testing.assert_close(both, 2 * enlarged(a, size, kernel) - 3 * enlarged(b, size, kernel))  # type: ignore[arg-type]
    torch.testing.assert_close(
        enlarged(torch.ones_like(a), size, kernel),  # type: ignore[arg-type]
        torch.ones((2, 3, *size), dtype=torch.float64),
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_picture_of_the_size_asked_for_is_returned_as_it_is(kernel: str) -> None:
    a = picture()
    assert enlarged(a, (7, 9), kernel) is a  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parity
def test_lanczos_is_pillows_away_from_the_border(size: tuple[int, int]) -> None:
    """At the border Pillow leaves out the weights that fall outside; here the last pixel goes on."""
    wide = torch.rand((1, 1, 40, 44), generator=torch.Generator().manual_seed(3))
    rows, columns = 40 * size[0] // 7, 44 * size[1] // 9
    theirs = np.array(
        Image.fromarray(wide[0, 0].numpy(), mode="F").resize((columns, rows), Image.Resampling.LANCZOS)
    )
    ours = enlarged(wide, (rows, columns), "lanczos")[0, 0].numpy()
    edge = 3 * max(rows // 40, columns // 44) + 3
    inner = (slice(edge, -edge), slice(edge, -edge))
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=2e-5)


@pytest.mark.parametrize(("old", "new"), [(5, 5), (5, 10), (8, 12), (3, 17)])
def test_lanczos_takes_its_mean_from_the_row_and_mirrors_with_it(old: int, new: int) -> None:
    weights = lanczos(old, new)
    torch.testing.assert_close(weights.sum(1), torch.ones(new, dtype=torch.float64))
    torch.testing.assert_close(weights.flip(0, 1), weights)
