"""The X-ray says how much the enlarged guide holds beyond the native frequencies, for it is not nothing."""

import numpy as np
import pytest

from sd3demo.engine.record.bands import FIELDS, RINGS, Bands
from sd3demo.plots.xray import Xray, ends, norms

STEPS = 3


def xray(beyond: float) -> Xray:
    """A run at twice the side whose guide has that share of its energy beyond the native frequencies."""
    energy = {name: np.ones((STEPS, RINGS)) for name in (*FIELDS, "moved")}
    target = np.full(RINGS, (1 - beyond) / (RINGS / 2))
    target[RINGS // 2 :] = beyond / (RINGS / 2)
    energy["target"] = np.tile(target, (STEPS, 1))
    bands = Bands(energy, np.ones((STEPS, 2)))
    return Xray("Projected flow", bands, np.linspace(1, 0, STEPS + 1), 2.0, (32, 32))


@pytest.mark.parametrize(("beyond", "said"), [(0.34, "34%"), (0.4, "40%"), (0.0, "0.0%")])
def test_what_the_guide_holds_beyond_its_own_frequencies_is_counted(beyond: float, said: str) -> None:
    _, sentence = norms(xray(beyond), None)
    assert f"the enlarged native picture holds {said} of its own, and no detail" in sentence
    assert "holds nothing" not in sentence


def test_a_run_without_a_guide_says_nothing_of_one() -> None:
    run = xray(0.3)
    run.bands.energy["target"][:] = np.nan
    assert "the native picture holds no detail" in norms(run, None)[1]


def test_the_end_of_a_run_is_not_said_to_meet_nothing() -> None:
    assert "holds least" not in ends(xray(0.3), None)[1]
