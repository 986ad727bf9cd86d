"""A run from its place in the queue to its end, and that nothing on the page computes without one."""

import threading
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from sd3demo.engine.events import Event, Finished, StepDone
from sd3demo.history import RunStore
from sd3demo.history.receipts import receipts_of
from sd3demo.history.verifying import compare
from sd3demo.settings import parse
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.context import core as core_of
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.run_status import run_status
from sd3demo.ui.run.turns import in_turn
from sd3demo.ui.server.gradio_internals import Call, current_call
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line, LineRefusal
from sd3demo.ui.server.operations import Operations, watched
from sd3demo.ui.server.ticket import Waiting
from tests.ui.fake_page import Rehearsal, write_model

UI = Path(__file__).resolve().parents[3] / "sd3demo" / "ui"


@pytest.fixture
def rehearsal() -> Rehearsal:
    return Rehearsal()


@pytest.fixture
def core(rehearsal: Rehearsal, tmp_path: Path) -> Core:
    limits = parse(Limits, {"visitor_places": 2})
    return Core((str(write_model(tmp_path / "model")),), rehearsal.run, line=Line(limits))


def test_nothing_on_the_page_runs_the_engine_without_a_place_in_the_queue() -> None:
    running = [
        file
        for file in UI.rglob("*.py")
        if any(call in file.read_text() for call in ("core.run(", "core.run)", "core.engine()"))
    ]
    assert len(running) >= 4
    for file in running:
        if file.name != "operations.py":  # which watches the run that others have joined for
            assert "with join(" in file.read_text(), file


def test_a_run_says_its_place_first_then_its_events_and_gives_its_place_back(core: Core) -> None:
    plan = prepare({"prompt": "a", "model": core.models[0], "steps": 3}, core)
    before = core.line.join("another", 4.0)
    news = in_turn(core, plan)
    first = next(news)
    assert first == Waiting(1, 1, first.seconds)  # type: ignore[union-attr]
    status = run_status(first)
    assert status is not None
    assert status.is_active
    assert status.text == "In the queue: one run before it, about 4 s"
    core.line.leave(before)
    events = list(news)
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, StepDone) for event in events) == 3
    assert core.line.count == 0


def test_closing_the_events_closes_the_run_and_frees_the_queue(core: Core, rehearsal: Rehearsal) -> None:
    plan = prepare({"prompt": "a", "model": core.models[0]}, core)
    news = in_turn(core, plan)
    next(news)
    news.close()
    assert rehearsal.ended == ["closed"]
    assert core.line.count == 0


def test_a_run_that_nobody_waits_for_ends_after_its_step(
    core: Core, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [True]
    monkeypatch.setattr("sd3demo.ui.run.turns.current_call", lambda **_: Call("me", lambda: wanted[0]))
    plan = prepare({"prompt": "a", "model": core.models[0]}, core)
    steps = []

    def watch() -> None:
        for event in in_turn(core, plan):
            if isinstance(event, StepDone):
                steps.append(event.index)
                wanted[0] = len(steps) < 2

    with pytest.raises(RunStopped):
        watch()
    assert steps == [0, 1]
    assert rehearsal.ended == ["closed"]
    assert core.line.count == 0


def test_a_run_that_the_queue_does_not_take_is_not_begun(core: Core, rehearsal: Rehearsal) -> None:
    plan = prepare({"prompt": "a", "model": core.models[0]}, core)
    core.line.join("", 1.0), core.line.join("", 1.0)
    with pytest.raises(LineRefusal, match="you have 2 runs in the queue"):
        next(in_turn(core, plan))
    assert rehearsal.ended == []


def test_outside_of_a_call_everybody_waits() -> None:
    call = current_call()
    assert call.visitor == ""
    assert call.wanted()


def test_runs_that_wait_together_are_computed_together_and_each_is_its_own(tmp_path: Path) -> None:
    """The real engine, from the queue to the receipts: those of single runs."""
    store = RunStore(tmp_path / "runs")
    real = watched(core_of(("tiny",), store, parse(Limits, {"batch": 4})), Operations())
    values = [
        {"prompt": prompt, "negative": negative, "seed": seed, "steps": 3, "model": "tiny"}
        for prompt, negative, seed in (("a red circle", "", 1), ("a blue square", "red", 2), ("a", "", 3))
    ]
    plans = [prepare(each, real) for each in values]
    before = real.line.join("another", 1.0)
    found: dict[int, list[object]] = {}

    def read(place: int) -> None:
        found[place] = list(in_turn(real, plans[place]))

    readers = [threading.Thread(target=read, args=(place,)) for place in range(3)]
    for number, reader in enumerate(readers, 1):
        reader.start()
        while real.line.waiting < number:
            time.sleep(0.01)
    real.line.leave(before)
    for reader in readers:
        reader.join(300)
    assert real.line.count == 0
    ids = set()
    for place, plan in enumerate(plans):
        news = found[place]
        assert isinstance(news[0], Waiting)
        assert [each.index for each in news if isinstance(each, StepDone)] == [0, 1, 2]
        together = news[-1]
        *_, alone = real.run(plan)
        assert isinstance(together, Finished)
        assert isinstance(alone, Finished)
        assert together.noise_sha256 == alone.noise_sha256
        assert together.sigmas == alone.sigmas
        assert together.calls == alone.calls
        assert together.weights_sha256 == alone.weights_sha256
        assert np.abs(together.pictures[0].astype(int) - alone.pictures[0]).max() <= 1
        ids.add(together.request_id)
        (receipt,) = receipts_of(plan.request, together)
        assert compare(receipt, together.pictures[0], alone).equal
        store.save(plan.request, together)
    assert len(ids) == 3
    assert len(store.ids()) == 3


def test_where_runs_are_lent_one_by_one_each_goes_alone(core: Core, rehearsal: Rehearsal) -> None:
    plan = prepare({"prompt": "a", "model": core.models[0], "steps": 3}, core)
    before = core.line.join("another", 1.0)
    news = [in_turn(core, plan), in_turn(core, plan)]
    assert core.member is None
    for each in news:
        assert isinstance(next(each), Waiting)
    core.line.leave(before)
    for each in news:
        assert isinstance(list(each)[-1], Finished)
    assert rehearsal.most_at_once == 1


@pytest.mark.parametrize("keep_running", [True, False])
def test_a_run_that_is_saved_goes_on_without_its_visitor_where_the_page_says_so(
    keep_running: bool, rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sd3demo.ui.run.turns.current_call", lambda **_: Call("me", lambda: False))
    limits = parse(Limits, {"keep_running": keep_running})
    model = str(write_model(tmp_path / "model"))
    page = Core((model,), rehearsal.run, RunStore(tmp_path / "runs"), line=Line(limits))
    news = in_turn(page, prepare({"prompt": "a", "model": model, "steps": 2}, page), saved=True)
    if not keep_running:
        with pytest.raises(RunStopped):
            list(news)
        return
    assert isinstance(list(news)[-1], Finished)


def test_a_run_that_is_saved_nowhere_ends_with_its_visitor(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert core.limits.keep_running
    assert core.history is None
    monkeypatch.setattr("sd3demo.ui.run.turns.current_call", lambda **_: Call("me", lambda: False))
    with pytest.raises(RunStopped):
        list(in_turn(core, prepare({"prompt": "a", "model": core.models[0]}, core), saved=True))


@pytest.fixture
def two_visitors(monkeypatch: pytest.MonkeyPatch) -> tuple[Core, list[str]]:
    """The real engine, whose runs give way at every step, and the visitor who asks next."""
    asking = ["long"]
    monkeypatch.setattr("sd3demo.ui.server.line.SLICE", 0.0)
    monkeypatch.setattr("sd3demo.ui.run.turns.current_call", lambda **_: Call(asking[0], lambda: True))
    return core_of(("tiny",)), asking


def begun(core: Core, values: dict[str, object]) -> Generator[Event | Waiting, None, None]:
    """A run that stands at its first step."""
    news = in_turn(core, prepare({"model": "tiny", **values}, core))
    next(event for event in news if isinstance(event, StepDone))
    return news


@pytest.mark.usefixtures("shared_weights")
def test_a_real_run_gives_way_between_two_steps_and_its_picture_is_the_same(
    two_visitors: tuple[Core, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    core, asking = two_visitors
    values: dict[str, object] = {"prompt": "a red circle", "steps": 6}
    *_, alone = core.run(prepare({"model": "tiny", **values}, core))
    long = begun(core, values)
    asking[0] = "short"
    short = in_turn(core, prepare({"model": "tiny", "prompt": "a blue square", "steps": 2}, core))
    assert isinstance(next(short), Waiting)
    paused = next(long)
    assert isinstance(paused, Waiting)
    assert paused.begun
    monkeypatch.setattr("sd3demo.ui.server.line.SLICE", 100.0)
    *_, first = short
    assert isinstance(first, Finished)
    *_, last = long
    assert isinstance(last, Finished)
    assert isinstance(alone, Finished)
    assert np.array_equal(last.pictures[0], alone.pictures[0])
    assert core.line.count == 0


@pytest.mark.usefixtures("shared_weights")
def test_a_run_that_is_stopped_while_it_gave_way_leaves_the_engine_to_the_other(
    two_visitors: tuple[Core, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    core, asking = two_visitors
    long = begun(core, {"prompt": "a red circle", "steps": 6})
    asking[0] = "short"
    short = in_turn(core, prepare({"model": "tiny", "prompt": "a ring", "steps": 2}, core))
    next(short)
    next(long)
    monkeypatch.setattr("sd3demo.ui.server.line.SLICE", 100.0)
    long.close()
    *_, last = short
    assert isinstance(last, Finished)
    assert core.line.count == 0
