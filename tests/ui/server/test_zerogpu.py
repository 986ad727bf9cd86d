"""ZeroGPU, played by a `spaces` that does as the real one: pickles both ways, and loses what errors say."""

import math
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sd3demo.catalogue import CATALOGUE, find
from sd3demo.engine import Budget, Engine, Plan, plan
from sd3demo.engine.events import ArmFinished, Event, Finished, Paused, StepDone
from sd3demo.errors import Failure, Refusal
from sd3demo.models.exact import EXACT
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, method_arms
from sd3demo.ui import core
from sd3demo.ui.server import zerogpu
from tests.ui.fake_page import Rehearsal, events

MOST = 120


def asked(**values: object) -> Plan:
    request = Request.model_validate({"prompt": "a red circle", "model": "sd3-medium"} | values)
    return plan(request, find("sd3-medium"), zerogpu.LENT)


class Lender(ModuleType):
    """`spaces` on ZeroGPU: what it was asked for, and how its calls came to their end."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.durations: list[int] = []
        self.ended: list[str] = []

    def GPU(  # noqa: N802
        self, task: Callable[..., Iterator], *, duration: Callable[..., int]
    ) -> Callable[..., Iterator]:
        def lent(*arguments: object) -> Iterator:
            self.durations.append(duration(*arguments))
            there = task(*pickle.loads(pickle.dumps(arguments)))
            try:
                for item in there:
                    yield pickle.loads(pickle.dumps(item))
                self.ended.append("finished")
            except GeneratorExit:
                there.close()
                self.ended.append("closed")
                raise
            except Exception as error:
                raise RuntimeError(type(error).__name__) from None

        return lent


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Lender:
    made = Lender()
    monkeypatch.setitem(sys.modules, "spaces", made)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return made


def nothing(budget: Budget) -> None:
    pass


def test_nothing_is_wrapped_where_there_is_no_zerogpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setitem(sys.modules, "spaces", None)  # importing it would fail
    run = Rehearsal().run
    held: list[Budget] = []
    assert zerogpu.on_gpu(run, held.append) == run
    assert held == []
    assert zerogpu.here().device == "cpu" or zerogpu.here() != zerogpu.LENT


def test_nothing_is_wrapped_where_spaces_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", None)
    run = Rehearsal().run
    assert zerogpu.on_gpu(run, nothing) == run


def test_the_model_is_in_its_place_before_a_run_and_a_plan_is_for_the_gpu_that_will_be_lent(
    lender: Lender,
) -> None:
    held: list[Budget] = []
    zerogpu.on_gpu(Rehearsal().run, held.append)
    assert held == [zerogpu.LENT]
    assert zerogpu.here() == zerogpu.LENT
    assert asked().request.precision == "bfloat16"
    assert all(
        plan(Request(prompt="-", model=name), find(name), zerogpu.LENT).placement == "resident"
        for name in CATALOGUE
    )  # offload hooks and ZeroGPU do not go together


def test_events_come_back_as_they_were(lender: Lender) -> None:
    made = asked(steps=4, width=64, height=64)
    here = list(events(made))
    there = list(zerogpu.on_gpu(lambda plan: iter(events(plan)), nothing)(made))
    assert [type(event) for event in there] == [type(event) for event in here]
    assert isinstance(there[-1], Finished)
    assert there[-1].noise_sha256 == here[-1].noise_sha256
    assert lender.ended == ["finished"]


def test_the_duration_follows_the_plan(lender: Lender) -> None:
    run = zerogpu.on_gpu(Rehearsal().run, nothing)
    for steps in (4, 28, 100):
        list(run(asked(steps=steps)))
    assert lender.durations == sorted(set(lender.durations))
    made = asked(steps=28)
    (call,) = zerogpu.lent_calls(made, MOST)
    assert call.seconds == -(-(zerogpu.STARTING + zerogpu.MARGIN * made.seconds) // 1)


def large(**settings: object) -> Plan:
    values = {"prompt": "a red circle", "model": "exact", "cfg": 2, "shift": 1, "steps": 4, "scale": 2}
    request = Extrapolation.model_validate(values | settings)
    return plan(request, EXACT, Budget(), arms=method_arms(request, COMPARED))


def test_a_long_plan_of_several_stages_is_several_calls_and_the_same_pictures(lender: Lender) -> None:
    made = large()
    slow = replace(made, budget=replace(made.budget, flops=max(each.flops for each in made.flow_stages) / 20))
    slow = replace(slow, seconds=sum(slow.flops.values()) / slow.budget.flops)
    calls = zerogpu.lent_calls(slow, MOST)
    assert len(calls) > 1
    assert all(call.seconds <= MOST for call in calls)
    assert zerogpu.lent_calls(made, MOST) == (zerogpu.LentCall("", lender_seconds(made)),)
    engines = iter([Engine() for _ in calls])  # each call has a process of its own

    def run(plan: Plan, **settings: Any) -> Iterator[Event]:
        yield from next(engines).run(made, **settings)

    there = list(zerogpu.on_gpu(run, nothing)(slow))
    (wanted,) = [event for event in Engine().run(made) if isinstance(event, Finished)]
    (found,) = [event for event in there if isinstance(event, Finished)]
    assert lender.durations == [call.seconds for call in calls]
    assert found.calls == wanted.calls
    assert list(found.arms) == list(wanted.arms)
    for name, arm in wanted.arms.items():
        assert np.array_equal(found.arms[name].pictures[0], arm.pictures[0]), name
        assert found.arms[name].noise_sha256 == arm.noise_sha256
    told = [event.arm for event in there if isinstance(event, ArmFinished)]
    assert told == list(wanted.arms)
    assert not [event for event in there if isinstance(event, Paused)]


def lender_seconds(made: Plan) -> int:
    return math.ceil(zerogpu.STARTING + zerogpu.MARGIN * made.seconds)


def test_a_stage_beyond_the_limit_is_refused_in_a_plan_of_several_too(lender: Lender) -> None:
    made = large()
    slow = replace(made, budget=replace(made.budget, flops=max(each.flops for each in made.flow_stages) / 99))
    slow = replace(slow, seconds=sum(slow.flops.values()) / slow.budget.flops)
    with pytest.raises(Refusal, match="and a call has 120 s here"):
        list(zerogpu.on_gpu(Rehearsal().run, nothing)(slow))
    assert lender.durations == []


def test_a_plan_beyond_the_limit_is_refused_before_a_gpu_is_asked_for(lender: Lender) -> None:
    long = replace(asked(), seconds=MOST / zerogpu.MARGIN)
    rehearsal = Rehearsal()
    with pytest.raises(Refusal, match="this may take 128 s of the GPU, and a call has 120 s here; try fewer"):
        list(zerogpu.on_gpu(rehearsal.run, nothing)(long))
    assert lender.durations == rehearsal.ended == []


@pytest.mark.parametrize("kind", [Refusal, Failure])
def test_a_sentence_comes_back_and_not_the_name_of_its_class(kind: type, lender: Lender) -> None:
    def run(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[:2]
        raise kind("the latent is not finite; try more steps")

    news = zerogpu.on_gpu(run, nothing)(asked())
    assert next(news)
    assert next(news)
    with pytest.raises(kind, match="the latent is not finite; try more steps"):
        next(news)


def test_closing_ends_the_call_at_its_step(lender: Lender) -> None:
    rehearsal = Rehearsal()
    news = zerogpu.on_gpu(rehearsal.run, nothing)(asked(steps=20))
    for event in news:
        if isinstance(event, StepDone) and event.index == 3:
            break
    news.close()
    assert lender.ended == rehearsal.ended == ["closed"]


def test_the_core_of_the_page_borrows_its_gpu(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    from sd3demo.engine.run import engine as run

    held: list[Plan] = []
    monkeypatch.setattr(run.Engine, "_bring", lambda self, plan: held.append(plan))
    made = core(("sd3-medium",))
    assert [plan.budget for plan in held] == [zerogpu.LENT]
    assert made.run.__name__ == "from_there"
