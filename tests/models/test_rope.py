"""RoPE beyond the sizes in training: plain at the native size, and each policy by its formula."""

import math

import pytest
import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed

from sd3demo.flow.extrapolation.tuning import BASES, POSITIONS
from sd3demo.models.rope import THETA, angles, exponents, patch_positions

DIM = 56


@pytest.mark.parametrize("policy", POSITIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_native_size_every_policy_is_diffusers_to_the_last_bit(
    policy: str, dtype: torch.dtype
) -> None:
    positions = patch_positions(300)
    found = angles(positions, DIM, policy=policy, scale=1.0, ntk=2.5, t=0.9, dtype=dtype)
    cos, sin = get_1d_rotary_pos_embed(
        DIM, positions.float(), repeat_interleave_real=True, use_real=True, freqs_dtype=dtype
    )
    assert torch.equal(found.cos().repeat_interleave(2, 1).float(), cos)
    assert torch.equal(found.sin().repeat_interleave(2, 1).float(), sin)


def test_interpolation_divides_positions_by_the_scale() -> None:
    larger = angles(patch_positions(64), DIM, policy="interpolate", scale=4.0)
    torch.testing.assert_close(larger[::4], angles(patch_positions(16), DIM))


@pytest.mark.parametrize("scale", [1.5, 2.0, 4.0])
def test_per_frequency_positions_multiply_the_base_by_the_scale(scale: float) -> None:
    found = angles(patch_positions(64), DIM, policy="per-frequency", scale=scale)
    torch.testing.assert_close(found, angles(patch_positions(64), DIM, theta=scale * THETA))


@pytest.mark.parametrize("scale", [1.5, 2.0, 4.0])
@pytest.mark.parametrize("ntk", [*BASES.values(), 5.0])
def test_a_wider_base_is_floored_at_interpolation(scale: float, ntk: float) -> None:
    """I-Max's for Flux: max((theta n)^(-2k/d), theta^(-2k/d) / s), n = ntk s."""
    found = angles(torch.ones(1), DIM, policy="per-frequency", scale=scale, ntk=ntk)[0].tolist()
    expected = [
        max((THETA * ntk * scale) ** (-k / DIM), THETA ** (-k / DIM) / scale) for k in range(0, DIM, 2)
    ]
    assert found == pytest.approx(expected, rel=1e-12)


def test_time_aware_positions_are_interpolated_first() -> None:
    early = exponents(DIM, policy="time-aware", scale=2.0, t=0.9)
    late = exponents(DIM, policy="time-aware", scale=2.0, t=0.5)
    assert set(early) == {1.0}
    assert late == exponents(DIM, policy="per-frequency", scale=2.0)


def test_positions_shifted_by_half_a_patch_lie_between_the_plain_ones() -> None:
    assert patch_positions(3).tolist() == [0, 1, 2]
    assert patch_positions(3, shifted=True).tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert math.isclose(float(angles(patch_positions(3, shifted=True), DIM)[2, 0]), 1.5)
