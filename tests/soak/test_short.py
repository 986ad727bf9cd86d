"""A short form of each part of `make soak`, with what neither a busy machine nor a short time can blur."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.soak import cancels, faults, fuzz, kills, load, sessions
from tests.soak.faults import Fault
from tests.soak.figures import Part

pytestmark = pytest.mark.slow

FAULTS = (
    Fault("load", "cpu-memory", 9),
    Fault("denoise", "cuda-memory", 9),
    Fault("serve", "full-disk", 9),
    Fault("save", "full-disk", 9),
    Fault("denoise", "runs-gone", 1),
    Fault("decode", "served-gone", 1),
    Fault("load", "model-gone", 1),
)


def apart(measure: Callable[..., Part], *arguments: object, **settings: object) -> Part:
    """The part as measured in a thread of its own: a browser that is open keeps the loop of this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(measure, *arguments, **settings).result()


def assert_holds(part: Part) -> None:
    assert part.missed == [], part.faults


def test_under_load_every_picture_is_right_and_everybody_is_answered() -> None:
    part = apart(load.measure, seconds=20, clients=10, hostile=0.6, sample=5)
    assert_holds(part)
    measured = {figure.name: figure.measured for figure in part.figures}
    assert measured["of so many pictures"] >= 4
    assert measured["made again from their receipts, 0/255 each"] >= 4


def test_a_kill_tears_nothing() -> None:
    assert_holds(apart(kills.measure, count=2))


def test_nonsense_is_answered_in_sentences_and_goes_nowhere() -> None:
    assert_holds(apart(fuzz.measure, count=120, patience=60))


def test_a_cancelled_run_ends_and_the_next_picture_is_right() -> None:
    assert_holds(apart(cancels.measure, count=9, warm=3))


@pytest.mark.parametrize("route", faults.ROUTES)
def test_whatever_fails_is_a_sentence_and_no_finished_picture_is_lost(route: str) -> None:
    assert_holds(apart(faults.measure, FAULTS, (route,)))


def test_sessions_that_are_left_cost_little() -> None:
    assert_holds(apart(sessions.measure, count=30))
