"""Runs that go on abreast make the pictures of single runs, and do what is equal once."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Engine, Plan, plan
from sd3demo.engine.events import BatchEvent, Encoded, Finished, Loading, StepDone, Stopped
from sd3demo.engine.plan.batch_size import MAX_RUNS, batch_size
from sd3demo.engine.run.sample import SharedCalls
from sd3demo.errors import Refusal
from sd3demo.flow.solvers import SOLVERS
from sd3demo.models.exact import EXACT, Exact
from sd3demo.settings import Request
from tests.engine.runs import HERE, exactly, run


def planned(requests: Sequence[Request]) -> list[Plan]:
    return [plan(request, EXACT, HERE) for request in requests]


def ends(news: Sequence[BatchEvent]) -> dict[int, Finished]:
    return {of.run: of.event for of in news if isinstance(of.event, Finished)}


MIXED = [
    exactly("red", steps=3),
    exactly("blue", steps=7, cfg=4, seed=3),
    exactly("green", steps=4, solver="rk4", cfg=2, cfg_to=0.6),
    exactly("red", steps=5, shift=3, schedule="single", cfg=7, negative="blue"),
    exactly("red", steps=6, solver="ab2", cfg=3, cfg_from=0.4),
    exactly("red", steps=2, count=2, seed=9),
]


def test_runs_of_any_steps_solvers_guidance_and_words_come_out_as_alone() -> None:
    engine = Engine()
    together = ends(list(engine.run_batch(planned(MIXED))))
    for index, request in enumerate(MIXED):
        alone = run(request, EXACT, engine=engine).finished
        there = together[index]
        assert there.noise_sha256 == alone.noise_sha256
        assert there.sigmas == alone.sigmas
        assert there.calls == alone.calls
        assert there.path_length == pytest.approx(alone.path_length, rel=1e-5)
        assert there.chord == pytest.approx(alone.chord, rel=1e-5)
        for here, other in zip(there.pictures, alone.pictures, strict=True):
            assert np.abs(here.astype(int) - other).max() <= 1


@pytest.mark.parametrize("kind", ["sd3-medium", "sd3.5-medium"])
def test_rows_of_a_network_are_its_branches(kind: str, checkpoint: Callable[..., Path]) -> None:
    spec = find(str(checkpoint(kind)))
    values = {"model": spec.name, "width": 32, "height": 32}
    requests = [
        Request.model_validate(values | {"prompt": prompt, "cfg": cfg, "steps": steps, "t5": t5})
        for prompt, cfg, steps, t5 in (
            ("a red circle", 4, 3, "on"),
            ("a red circle", 1, 5, "on"),
            ("a blue square", 6, 4, "zeros"),
            ("a red circle", 4, 3, "omit"),
        )
    ]
    engine = Engine()
    made = [plan(request, spec, Budget()) for request in requests]
    together = ends(list(engine.run_batch(made)))
    for index, each in enumerate(made):
        *_, alone = engine.run(each)
        assert isinstance(alone, Finished)
        assert together[index].path_length == pytest.approx(alone.path_length, rel=1e-4)
        assert np.abs(together[index].pictures[0].astype(int) - alone.pictures[0]).max() <= 1


def test_all_previews_come_step_by_step_and_the_shortest_run_ends_first() -> None:
    news = list(Engine().run_batch(planned([exactly(steps=9), exactly(steps=2), exactly(steps=4)])))
    assert isinstance(news[0].event, Loading)
    assert isinstance(news[1].event, Encoded)
    assert [of.run for of in news if isinstance(of.event, Finished)] == [1, 2, 0]
    for run_, steps in ((0, 9), (1, 2), (2, 4)):
        indices = [of.event.index for of in news if of.run == run_ and isinstance(of.event, StepDone)]
        assert indices == list(range(steps))
    assert pickle.loads(pickle.dumps(news[-1])).run == 0


def test_what_is_asked_twice_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SharedCalls] = []
    start = SharedCalls.__init__

    def noted(self: SharedCalls, *words: object, **named: object) -> None:
        start(self, *words, **named)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(SharedCalls, "__init__", noted)
    list(Engine().run_batch(planned([exactly(steps=4, cfg=cfg) for cfg in (2, 3, 4)])))
    assert made[-1].computed == 2 + 3 * 3 * 2  # the first step of all is the same
    list(Engine().run_batch(planned([exactly(steps=4, cfg=1, seed=seed) for seed in (0, 0, 1)])))
    assert made[-1].computed == 2 * 4
    intervals = [exactly(steps=4, cfg=3, cfg_from=start) for start in (0, 0.3)]
    list(Engine().run_batch(planned(intervals)))
    assert made[-1].computed == 4 * 2  # they go one way until t = 0.25, where one of them asks for less
    late = [exactly(steps=2, cfg=cfg) for cfg in range(2, 2 + MAX_RUNS + 4)]
    list(Engine().run_batch(planned(late)))
    assert made[-1].computed == 2 + 2 * len(late)  # the first step is remembered for those that begin late


def test_stopping_ends_every_run_at_its_step() -> None:
    seen: list[BatchEvent] = []
    news = Engine().run_batch(
        planned([exactly(steps=9), exactly(steps=2)]),
        stop=lambda: sum(isinstance(of.event, StepDone) for of in seen) >= 6,
    )
    for of in news:
        seen.append(of)
    stopped = {of.run: of.event.steps for of in seen if isinstance(of.event, Stopped)}
    assert set(ends(seen)) == {1}
    assert stopped == {0: 4}


def test_closing_gives_the_engine_back() -> None:
    engine = Engine()
    news = engine.run_batch(planned([exactly(steps=50)] * 2))
    next(news)
    next(news)
    news.close()
    assert run(exactly(steps=2), EXACT, engine=engine).finished
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_that_asks_moves_as_the_one_that_calls(solver: str) -> None:
    from sd3demo.flow.grids import time_grid
    from sd3demo.flow.solvers import At, Step, answered

    def velocity(x: torch.Tensor, at: At) -> torch.Tensor:
        return torch.sin(3 * x) + at.t

    x, grid = torch.linspace(-1, 1, 6).view(1, 6), time_grid(5, 2.0)
    called = list(SOLVERS[solver](velocity, x, grid))
    asked = list(answered(SOLVERS[solver].moves(x, grid), velocity))
    assert all(isinstance(step, Step) for step in asked)
    assert [step.calls for step in asked] == [step.calls for step in called]
    assert torch.equal(asked[-1].x_next, called[-1].x_next)


def test_how_many_go_abreast_follows_the_memory_and_the_time_of_a_call() -> None:
    (made,) = planned([exactly(steps=4)])
    assert batch_size([made]) == MAX_RUNS
    medium = find("sd3-medium")
    large = plan(Request(prompt="a", model="sd3-medium"), medium, Budget("cpu", 64 * 2**30, 1e11))
    assert batch_size([large]) == 1
    assert batch_size([replace(large, budget=Budget("cuda", 140 * 2**30, 1e15))]) > 1
    assert batch_size([replace(large, budget=Budget("cuda", 2**30, 1e15))]) == 1


def test_what_cannot_go_together_is_refused() -> None:
    one, other = planned([exactly(), exactly()])
    for changed in (
        replace(other, placement="by-model"),
        replace(other, recorders=("film",)),
        replace(other, spec=replace(EXACT, name="other")),
    ):
        with pytest.raises(Refusal, match="go together"):
            list(Engine().run_batch([one, changed]))
    assert list(Engine(lambda spec, dtype, components: Exact()).run_batch([])) == []


def test_plans_made_as_the_free_memory_changes_go_together() -> None:
    plans = [plan(exactly(steps=2, seed=seed), EXACT, Budget("cpu", 2**33 + seed)) for seed in (0, 1)]
    assert set(ends(list(Engine().run_batch(plans)))) == {0, 1}


def test_a_cancelled_run_leaves_and_the_others_come_out_as_alone() -> None:
    engine, requests = Engine(), [exactly(word, steps=5) for word in ("red", "green", "blue", "red")]
    seen: list[BatchEvent] = []

    def cancelled(run_: int) -> bool:
        return run_ == 3 or (run_ == 1 and sum(isinstance(of.event, StepDone) for of in seen) >= 2 * 3)

    for of in engine.run_batch(planned(requests), cancelled=cancelled):
        seen.append(of)
    assert {of.run: of.event.steps for of in seen if isinstance(of.event, Stopped)} == {1: 2, 3: 0}
    found = ends(seen)
    assert set(found) == {0, 2}
    for index, finished in found.items():
        alone = run(requests[index], EXACT, engine=engine).finished
        assert np.abs(finished.pictures[0].astype(int) - alone.pictures[0]).max() <= 1


@pytest.mark.parametrize("steps", [0, 1], ids=["before their first step", "after it"])
def test_all_cancelled_runs_make_room_for_those_that_wait(steps: int) -> None:
    late = [exactly(steps=3, seed=seed) for seed in range(MAX_RUNS + 2)]
    seen: list[BatchEvent] = []

    def cancelled(run_: int) -> bool:
        made = sum(of.run == run_ and isinstance(of.event, StepDone) for of in seen)
        return run_ < MAX_RUNS and made >= steps

    for of in Engine().run_batch(planned(late), cancelled=cancelled):
        seen.append(of)
    assert set(ends(seen)) == {MAX_RUNS, MAX_RUNS + 1}
    stopped = {of.run: of.event.steps for of in seen if isinstance(of.event, Stopped)}
    assert stopped == dict.fromkeys(range(MAX_RUNS), steps)


def test_each_run_is_told_of_the_encoders_that_ran_for_it() -> None:
    requests = [exactly(word, steps=2, cfg=2, negative="blue") for word in ("red", "green", "red")]
    news = list(Engine().run_batch(planned(requests)))
    calls = {of.run: of.event.calls for of in news if isinstance(of.event, Encoded)}
    assert {run_: end.encoder_calls for run_, end in ends(news).items()} == calls
    assert all(set(end.seconds) == {"encode", "flow", "decode"} for end in ends(news).values())
    alone = Engine()
    assert [calls[index] for index in range(3)] == [
        run(request, EXACT, engine=alone).finished.encoder_calls for request in requests
    ]


def test_runs_that_are_all_cancelled_do_not_wait_for_the_engine() -> None:
    engine = Engine()
    busy = engine.run(*planned([exactly(steps=9)]))
    next(busy)
    news = list(engine.run_batch(planned([exactly(steps=2)] * 2), cancelled=lambda run_: True))
    assert [(of.run, of.event) for of in news] == [(0, Stopped("native", 0)), (1, Stopped("native", 0))]
    busy.close()
