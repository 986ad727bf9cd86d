"""Which of those who wait go together: pure, by their plans."""

from dataclasses import replace

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.plan.batch_size import MAX_RUNS, OF_ONE_RUN, batch_key, first_batch
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import Extrapolation

TINY = find("tiny")
CHANGED = {
    "count": 2,
    "width": 128,
    "height": 128,
    "steps": 3,
    "cfg": 2.0,
    "cfg_from": 0.1,
    "cfg_to": 0.9,
    "solver": "heun",
    "schedule": "linear",
    "shift": 2.0,
    "t5": "zeros",
    "clip_l": "zeros",
    "clip_g": "zeros",
    "uncond": "zeros",
    "max_sequence_length": 12,
    "precision": "bfloat16",
}
"""Another value of every setting that a run of this model has, but for those that may differ."""


def waiting(**settings: object) -> Plan:
    return plan(Request.model_validate({"prompt": "a", "steps": 4, **settings}), TINY, Budget())


@pytest.mark.parametrize("name", OF_ONE_RUN)
def test_texts_and_seeds_may_differ(name: str) -> None:
    other = waiting(**{name: 5 if name == "seed" else "b"})
    assert first_batch([waiting(), other], 8) == 2


@pytest.mark.parametrize(("name", "value"), CHANGED.items())
def test_all_other_settings_are_equal_in_a_batch(name: str, value: object) -> None:
    other = waiting(**{name: value})
    assert batch_key(other) != batch_key(waiting())
    assert first_batch([waiting(), other, waiting()], 8) == 1
    assert first_batch([other, other, waiting()], 8) == 2


def test_another_model_or_place_goes_alone() -> None:
    one = waiting()
    for other in (
        replace(one, spec=replace(TINY, name="other")),
        replace(one, placement="by-model"),
        replace(one, components=one.components - {"text_encoder"}),
        replace(one, budget=Budget("cuda")),
    ):
        assert first_batch([one, other], 8) == 1


def test_nobody_is_overtaken() -> None:
    mine, other = waiting(), waiting(steps=9)
    assert first_batch([mine, mine, other, mine, mine], 8) == 2
    assert first_batch([mine, None, mine], 8) == 1
    assert first_batch([None, mine, mine], 8) == 1
    assert first_batch([], 8) == 0


def test_what_has_several_stages_or_records_more_goes_alone() -> None:
    large = plan(Extrapolation.model_validate({"prompt": "a", "scale": 2}), TINY, Budget())
    watching = plan(Request(prompt="a"), TINY, Budget(), recorders=("lengths", "film"))
    for alone in (large, watching):
        assert batch_key(alone) is None
        assert first_batch([alone, alone], 8) == 1


def test_a_batch_has_at_most_so_many_runs_and_pictures() -> None:
    assert first_batch([waiting()] * 30, 8) == 8
    assert first_batch([waiting()] * 30, 100) == MAX_RUNS
    assert first_batch([waiting(count=6)] * 30, 8) == MAX_RUNS // 6
    assert first_batch([waiting()] * 3, 1) == 1


def test_a_batch_fits_into_memory_and_a_call_stays_short() -> None:
    one = waiting()
    most = max(one.memory.values())
    assert first_batch([replace(one, budget=replace(one.budget, memory=most + 1000))] * 3, 8) == 1
    assert first_batch([replace(one, budget=replace(one.budget, flops=1e9))] * 3, 8) == 1


def test_a_batch_takes_no_longer_than_a_run_may() -> None:
    one = waiting()
    assert first_batch([one] * 8, 8, one.seconds * 3.5) == 3
    assert first_batch([one] * 8, 8, one.seconds / 2) == 1
