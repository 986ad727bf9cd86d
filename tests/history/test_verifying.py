"""A picture against its rerun: what counts as the same, and what is said of the rest."""

from dataclasses import replace

import numpy as np
import pytest

from sd3demo.history import compare, receipts_of, single_request
from tests.engine.runs import EXACT, exactly, run

RAN = run(exactly("red", count=3, seed=5, steps=3), EXACT)
RECEIPT = receipts_of(RAN.plan.request, RAN.finished)[2]
PIXELS = RAN.finished.pictures[2]
AGAIN = run(single_request(RECEIPT), EXACT).finished


def test_one_picture_of_a_batch_is_made_again_alone() -> None:
    assert (single_request(RECEIPT).seed, single_request(RECEIPT).count) == (7, 1)
    found = compare(RECEIPT, PIXELS, AGAIN)
    assert found.equal
    assert (found.max_abs_diff, found.differing) == (0, ())
    assert found.verdict == "equal: the largest difference is 0/255"


@pytest.mark.parametrize(("by", "equal"), [(1, True), (2, False), (200, False)])
def test_one_level_is_allowed_in_either_direction_and_no_more(by: int, equal: bool) -> None:
    for sign in (1, -1):
        shown = PIXELS.astype(int)
        base = 250 if sign < 0 else 0
        shown[3, 4, 1] = base
        rerun = [picture.copy() for picture in AGAIN.pictures]
        rerun[0][3, 4, 1] = base + sign * by
        found = compare(RECEIPT, shown.astype(np.uint8), replace(AGAIN, pictures=tuple(rerun)))
        assert found.max_abs_diff == pytest.approx(by / 255)
        assert found.equal is equal
        assert found.verdict.startswith("equal" if equal else "NOT equal")


@pytest.mark.parametrize(
    ("change", "differing", "equal"),
    [
        ({"noise_sha256": ("f" * 64,)}, ("noise",), False),
        ({"weights_sha256": "f" * 64}, ("weights",), True),
        ({"sigmas": (1.0, 0.0)}, ("sigmas",), True),
        ({"sigmas": (1.0, 0.7, 0.3, 0.0)}, ("sigmas",), True),
    ],
)
def test_what_differs_from_the_receipt_is_named(
    change: dict, differing: tuple[str, ...], equal: bool
) -> None:
    found = compare(RECEIPT, PIXELS, replace(AGAIN, **change))
    assert (found.differing, found.equal) == (differing, equal)
    assert differing[0] in found.verdict
