"""A run has an id, a line in the log and an outcome; a page that closes finishes what goes on."""

import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import BatchEvent, Event, Finished, StepDone, Stopped
from sd3demo.errors import Failure, OutOfMemory, Refusal
from sd3demo.history import RunStore, read_receipt
from sd3demo.history.index import HistoryIndex
from sd3demo.settings import Request
from sd3demo.ui import Core
from sd3demo.ui.history.handlers import HistoryHandlers, HistoryPlace
from sd3demo.ui.run.errors import sentence, without_paths
from sd3demo.ui.server import run_log
from sd3demo.ui.server.operations import Closing, CutOff, Operations, watched
from sd3demo.ui.server.shutdown import drain
from sd3demo.ui.server.visitor_hash import visitor_hash
from tests.ui.fake_page import Rehearsal, events, serving
from tests.ui.server.pages import ask

ROOT = Path(__file__).resolve().parents[3]


def asked(**settings: object) -> Plan:
    request = Request.model_validate({"prompt": "a secret circle", "steps": 4, **settings})
    return plan(request, find("tiny"), Budget())


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict]]:
    caplog.set_level(logging.INFO, run_log.log.name)
    return lambda: [json.loads(each.message) for each in caplog.records if each.name == run_log.log.name]


def raising(error: Exception) -> Callable[[Plan], Iterator[Event]]:
    def run(plan: Plan) -> Iterator[Event]:
        yield from list(events(plan))[:3]
        raise error

    return run


def test_a_finished_run_has_a_line_without_prompt_or_address(lines: Callable[[], list[dict]]) -> None:
    core = watched(Core(("tiny",), Rehearsal().run), Operations())
    made = asked()
    last = list(core.run(made))[-1]
    assert isinstance(last, Finished)
    (line,) = lines()
    assert line["event"] == "run"
    assert line["outcome"] == "finished"
    assert line["id"] == last.request_id
    assert line["plan_seconds"] == round(made.seconds, 3)
    assert line["seconds"] >= 0
    assert (line["model"], line["steps"], line["width"]) == ("tiny", 4, 64)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Refusal("no"), "refused"),
        (Failure("no"), "failed"),
        (OutOfMemory("no"), "failed"),
        (gr.Error("You have exceeded your quota"), "quota"),
        (ZeroDivisionError(), "error"),
    ],
)
def test_how_a_run_ended_is_in_its_line(
    error: Exception, outcome: str, lines: Callable[[], list[dict]]
) -> None:
    core = watched(Core(("tiny",), raising(error)), Operations())
    with pytest.raises(type(error)):
        list(core.run(asked()))
    assert [line["outcome"] for line in lines()] == [outcome]


def test_a_run_that_its_visitor_leaves_is_stopped(lines: Callable[[], list[dict]]) -> None:
    rehearsal = Rehearsal()
    news = watched(Core(("tiny",), rehearsal.run), Operations()).run(asked())
    next(news)
    news.close()
    assert [line["outcome"] for line in lines()] == ["stopped"]
    assert rehearsal.ended == ["closed"]


def test_runs_that_go_together_have_one_line_and_one_id(lines: Callable[[], list[dict]]) -> None:
    def together(plans: Sequence[Plan]) -> Iterator[BatchEvent]:
        for index, each in enumerate(plans):
            yield from (BatchEvent(index, event) for event in events(each))

    core = watched(Core(("tiny",), Rehearsal().run, together=together), Operations())
    assert core.together is not None
    found = [each.event for each in core.together([asked(), asked(seed=1)])]
    ids = {event.request_id for event in found if isinstance(event, Finished)}
    (line,) = lines()
    assert ids == {line["id"]}
    assert line["runs"] == 2


def test_the_id_of_the_log_is_in_the_receipt_of_each_picture(
    lines: Callable[[], list[dict]], tmp_path: Path
) -> None:
    with serving(Core(("tiny",), Rehearsal().run, RunStore(tmp_path / "runs"))) as address:
        client = Client(address, verbose=False, download_files=str(tmp_path / "got"))
        picture, _ = client.predict("a red circle", num_inference_steps=2, api_name="/infer")
        large, _ = client.predict("a red circle", num_inference_steps=2, api_name="/extrapolate")
    runs = [line for line in lines() if line["event"] == "run"]
    assert [read_receipt(Path(file)).request_id for file in (picture, large)] == [line["id"] for line in runs]
    assert [line["kind"] for line in runs] == ["picture", "extrapolation"]
    assert all(re.fullmatch("[0-9a-f]{12}", line["visitor"]) for line in runs)
    kept = [read_receipt(image) for run in RunStore(tmp_path / "runs").runs() for image in run.images]
    assert {each.request_id for each in kept} == {line["id"] for line in runs}


def test_a_visitor_is_one_hash_that_no_address_can_be_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(host: str, **headers: str) -> str:
        request = gr.Request(username=None)
        object.__setattr__(request, "client", type("Client", (), {"host": host}))
        object.__setattr__(request, "headers", headers)
        return visitor_hash(request)

    assert hashed("10.1.2.3") == hashed("10.1.2.3") != hashed("10.1.2.4")
    assert "10.1" not in hashed("10.1.2.3")
    assert visitor_hash() == ""
    assert hashed("10.1.2.3", **{"x-forwarded-for": "1.2.3.4"}) == hashed("10.1.2.3")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert hashed("10.1.2.3", **{"x-forwarded-for": "1.2.3.4"}) == hashed("1.2.3.4")


def test_each_refusal_has_one_line_however_often_it_is_told(lines: Callable[[], list[dict]]) -> None:
    error = Refusal("steps is 1000; it must lie in [1, 100]")
    said = {sentence(error, {"steps": "Steps"}) for _ in range(3)}
    assert said == {"Steps is 1000; it must lie in [1, 100]"}
    (line,) = lines()
    assert (line["event"], line["reason"]) == ("refusal", "input")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot keep the run in /home/ann/data/runs: No space left",
            "cannot keep the run in runs: No space left",
        ),
        ("there is no run '2026' in /srv/sd3demo/runs", "there is no run '2026' in runs"),
        (r"cannot read C:\Users\ann\a.png: gone", "cannot read a.png: gone"),
        (
            "unknown model 'x'; choose one of tiny, /models/mine/",
            "unknown model 'x'; choose one of tiny, mine",
        ),
        ("steps is 1/2; give a whole number", "steps is 1/2; give a whole number"),
        ("see https://huggingface.co/docs/hub", "see https://huggingface.co/docs/hub"),
        ("choose by-model and/or streamed", "choose by-model and/or streamed"),
    ],
)
def test_visitors_read_names_and_no_paths(text: str, shown: str) -> None:
    assert without_paths(text) == shown
    assert sentence(Refusal(text), {}) == shown


def test_a_page_that_closes_finishes_what_goes_on_and_takes_nothing_more() -> None:
    operations = Operations()
    go, begun = threading.Event(), threading.Event()

    def run(plan: Plan) -> Iterator[Event]:
        for event in events(plan):
            if isinstance(event, StepDone):
                begun.set()
                go.wait(60)
            yield event

    core = watched(Core(("tiny",), run), operations)
    found: list[Event] = []
    worker = threading.Thread(target=lambda: found.extend(core.run(asked())))
    worker.start()
    assert begun.wait(60)
    operations.close()
    with pytest.raises(Closing, match="the page is closing and starts nothing more; try again in a minute"):
        next(core.run(asked()))
    go.set()
    assert drain(operations, lambda: False, 60)
    worker.join(60)
    assert isinstance(found[-1], Finished)


def test_a_run_that_is_too_slow_ends_with_a_sentence(lines: Callable[[], list[dict]]) -> None:
    operations = Operations()
    rehearsal = Rehearsal(hold=lambda step: True)  # it never ends by itself
    core = watched(Core(("tiny",), rehearsal.run), operations)
    errors: list[Exception] = []
    begun = threading.Event()

    def work() -> None:
        try:
            for event in core.run(asked()):
                begun.set()
                assert not isinstance(event, Finished | Stopped)
        except Failure as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(60)
    assert drain(operations, lambda: False, 0)
    worker.join(60)
    assert [str(error) for error in errors] == [str(CutOff())]
    assert [line.get("outcome") for line in lines()] == [None, "cut off", "cut off"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_page_with_its_run_finished_and_kept(
    number: signal.Signals, tmp_path: Path
) -> None:
    """A real process: a run is held at a step when the signal comes, and goes on after it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    go = tmp_path / "go"
    code = f"""
import sys
from pathlib import Path
from sd3demo.history import RunStore
from sd3demo.ui import Core, ServeOptions, build, launch
from sd3demo.ui.server.run_log import to_stderr
from tests.ui.fake_page import Rehearsal
to_stderr()
def hold(step):
    if step.index == 2:
        print("held", flush=True)
    return step.index == 2 and not Path({str(go)!r}).exists()
held = Rehearsal(hold=hold)
page = build(Core(("tiny",), held.run, RunStore(Path({str(tmp_path / "runs")!r}))))
launch(page, port={port}, options=ServeOptions(grace=120))
print("ended")
"""
    server = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = next(line for line in server.stdout if "The page is at" in line).split()[-1]
        job = Client(address, verbose=False, download_files=str(tmp_path / "got")).submit(
            "a red circle", num_inference_steps=4, api_name="/infer"
        )
        assert next(line for line in server.stdout if "held" in line)
        server.send_signal(number)
        while ask(address, "/readyz").status == 200:
            pass
        go.touch()
        picture, _ = job.result(timeout=120)
        said, log = server.communicate(timeout=120)
    finally:
        server.kill()
    assert server.returncode == 0, log
    assert said.rstrip().endswith("ended")
    assert "Traceback" not in log
    assert read_receipt(Path(picture)).request_id
    (run,) = RunStore(tmp_path / "runs").runs()
    assert [each.name for each in run.images] == ["0.png"]
    outcomes = [json.loads(line).get("outcome") for line in log.splitlines() if line.startswith("{")]
    assert outcomes == [None, "finished", "finished"]


def test_a_history_that_visitors_may_not_delete_from_keeps_all(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    made = asked()
    *_, last = events(made)
    assert isinstance(last, Finished)
    id = store.save(made.request, last).id
    core = Core(("tiny",), Rehearsal().run, store, may_delete=False)
    handlers = HistoryHandlers(core, HistoryIndex(store))
    assert "runs are not deleted here" in str(handlers.ask_to_delete_marked(id)[0]).replace("Runs", "runs")
    with pytest.raises(Refusal, match="runs are not deleted here"):
        handlers.delete((id,), HistoryPlace())
    assert store.ids() == [id]
    HistoryHandlers(replace(core, may_delete=True), HistoryIndex(store)).delete((id,), HistoryPlace())
    assert store.ids() == []
