"""A run from its place in the queue to its end, and that nothing on the page computes without one."""

from pathlib import Path

import pytest

from sd3demo.engine.events import Finished, StepDone
from sd3demo.settings import parse
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.run_status import run_status
from sd3demo.ui.run.turns import in_turn
from sd3demo.ui.server.gradio_internals import Call, current_call
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line, LineRefusal, Waiting
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
