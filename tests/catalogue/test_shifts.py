"""The shift of each family by the size of the picture."""

import math

import pytest

from sd3demo.catalogue import ConstantShift, LinearMuShift

NATIVE = 1024**2


@pytest.mark.parametrize("side", [256, 512, 1024, 1440, 2048])
def test_the_linear_mu_is_the_pipelines(side: int) -> None:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    expected = math.exp(calculate_shift((side // 16) ** 2))
    assert LinearMuShift().default(side**2, NATIVE) == pytest.approx(expected)


def test_beyond_the_sizes_in_training_the_linear_mu_grows_no_further() -> None:
    rule = LinearMuShift()
    assert rule.default(4096**2, NATIVE) == rule.default(2048**2, NATIVE) == pytest.approx(25.28, abs=0.01)


@pytest.mark.parametrize("rule", [ConstantShift(3.0), LinearMuShift()])
def test_auto_is_eq_23_from_the_native_size(rule: ConstantShift | LinearMuShift) -> None:
    assert rule.scaled(NATIVE, NATIVE) == pytest.approx(rule.default(NATIVE, NATIVE))
    assert rule.scaled(4 * NATIVE, NATIVE) == pytest.approx(2 * rule.default(NATIVE, NATIVE))


def test_a_larger_stage_composes_sd3s_shift_and_has_i_maxs_for_flux() -> None:
    assert ConstantShift(3.0).larger(3.0, 4.0, None) == 12.0
    assert ConstantShift(3.0).larger(3.0, 4.0, 1.5) == 18.0
    assert LinearMuShift().larger(3.16, 4.0, None) == LinearMuShift().larger(3.16, 4.0, 1.5) == 6.0
    assert LinearMuShift().larger(3.16, 2.0, None) == 3.16
    assert LinearMuShift().larger(3.16, 2.0, 1.5) == 3.0
