"""A page that other people reach, over HTTP: nobody passes the queue by, fills it up or runs on unseen."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client

from sd3demo.settings import parse
from sd3demo.ui import Core, build, launch
from sd3demo.ui.server.gradio_internals import trim_files, write_served_file
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line
from tests.ui.fake_page import Rehearsal, write_model

LIMITS = {
    "visitor_places": 1,
    "places": 3,
    "behind_proxy": True,
    "upload_mib": 0.2,
    "uploads_mib": 1,
    "request_mib": 0.1,
    "sessions": 12,
}
API = "gradio_api/"


@dataclass
class PublicPage:
    """A page with narrow limits whose runs stay at their first step until they are let go."""

    address: str
    page: gr.Blocks
    core: Core
    rehearsal: Rehearsal
    held: threading.Event

    def call(self, name: str, visitor: str, data: list[object], **more: object) -> httpx.Response:
        headers = {"X-Forwarded-For": visitor}
        return httpx.post(f"{self.address}{API}call/{name}", json={"data": data}, headers=headers, timeout=60)

    def infer(self, visitor: str) -> httpx.Response:
        return self.call("infer", visitor, ["a red circle", "", 1, False, None, None, 4, 3])

    def run(self, visitor: str) -> None:
        """Start a run, and wait until it waits or goes on."""
        before = self.core.line.count
        assert self.infer(visitor).status_code == 200
        until(lambda: self.core.line.count > before)


def until(done: Callable[[], object]) -> None:
    """Wait until something is so."""
    for _ in range(3000):
        if done():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that within a minute")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicPage]:
    folder, held = tmp_path_factory.mktemp("public"), threading.Event()
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(folder / "served"))
    rehearsal = Rehearsal(hold=lambda step: held.is_set() and step.index == 0)
    core = Core((str(write_model(folder / "model")),), rehearsal.run, line=Line(parse(Limits, LIMITS)))
    page = build(core)
    yield PublicPage(launch(page, wait=False), page, core, rehearsal, held)
    page.close()
    patch.undo()


@pytest.fixture
def public(served: PublicPage) -> Iterator[PublicPage]:
    """The page with nobody on it before, and afterwards."""
    served.held.set()
    yield served
    served.held.clear()
    until(lambda: served.core.line.count == 0)


@pytest.mark.parametrize("path", ["run", "api"])
@pytest.mark.parametrize("name", ["infer", "extrapolate", "study"])
def test_nobody_passes_the_queue_by(public: PublicPage, path: str, name: str) -> None:
    before = len(public.rehearsal.ended)
    answer = httpx.post(f"{public.address}{API}{path}/{name}", json={"data": ["a red circle"]}, timeout=60)
    assert answer.status_code == 404
    assert len(public.rehearsal.ended) == before
    assert public.core.line.count == 0


def test_a_visitor_beyond_the_places_is_told_when_to_come_again_and_others_are_served(
    public: PublicPage,
) -> None:
    public.run("8.8.8.8")
    second = public.infer("1.2.3.4, 8.8.8.8")  # the same visitor, whatever else the header says
    assert second.status_code == 429
    assert int(second.headers["Retry-After"]) >= 1
    said = second.json()["detail"]
    assert said.startswith("you have 1 run in the queue and a visitor has 1 places here")
    assert "1 run is in the queue" in said
    public.run("9.9.9.9")
    public.run("1.1.1.1")
    full = public.infer("8.8.4.4")
    assert full.status_code == 503
    assert full.json()["detail"].startswith("all 3 places of the queue are taken")
    assert int(full.headers["Retry-After"]) >= 1


def test_who_joins_by_number_is_told_the_same(public: PublicPage) -> None:
    (index,) = [id for id, fn in public.page.fns.items() if fn.api_name == "infer"]
    public.run("8.8.8.8")
    for visitor, status in (("8.8.8.8", 429), ("9.9.9.9", 200)):
        data = {"data": ["a red circle"], "fn_index": index, "session_hash": visitor}
        headers = {"X-Forwarded-For": visitor}
        answer = httpx.post(f"{public.address}{API}queue/join", json=data, headers=headers, timeout=60)
        assert answer.status_code == status
    until(lambda: public.core.line.count == 2)


@pytest.mark.parametrize("path", ["queue/join", "call/plan"])
def test_a_session_without_a_name_is_refused_and_leaves_no_traceback(
    path: str, public: PublicPage, capfd: pytest.CaptureFixture[str]
) -> None:
    data = {"data": ["a red circle"], "fn_index": 0, "session_hash": ""}
    answer = httpx.post(f"{public.address}{API}{path}", json=data, timeout=60)
    assert answer.status_code == 422
    assert answer.json() == {"detail": "session_hash is empty; leave it out, or send a text of your own"}
    plan = httpx.post(f"{public.address}{API}call/plan", json={"data": []}, timeout=60)
    stream = f"{public.address}{API}call/plan/{plan.json()['event_id']}"
    assert "event: complete" in httpx.get(stream, timeout=60).text  # by then the queue has come by
    assert "Traceback" not in "".join(capfd.readouterr())


def test_plans_are_answered_at_once_while_the_queue_is_full(public: PublicPage, tmp_path: Path) -> None:
    for visitor in ("8.8.8.8", "9.9.9.9", "1.1.1.1"):
        public.run(visitor)
    patient = {"timeout": 300}  # gradio_client waits 5 s for an answer, which a busy machine may miss
    client = Client(public.address, verbose=False, download_files=str(tmp_path), httpx_kwargs=patient)
    jobs = [client.submit(num_inference_steps=8, api_name="/plan") for _ in range(10)]
    jobs += [client.submit(steps=4, api_name="/schedule") for _ in range(10)]
    for job in jobs:
        assert job.result(timeout=300)
    assert public.core.line.count == 3  # of whom none was served meanwhile


def test_a_run_has_its_news_and_its_end_however_many_others_come_meanwhile(
    public: PublicPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public.page._queue.pending_messages_per_session, "max_size", 6)
    (index,) = [id for id, fn in public.page.fns.items() if fn.api_name == "infer"]
    asked = {"data": ["a red circle"], "fn_index": index, "session_hash": "long open"}
    assert httpx.post(f"{public.address}{API}queue/join", json=asked, timeout=60).status_code == 200
    until(lambda: public.rehearsal.running == 1)
    stream = f"{public.address}{API}queue/data?session_hash=long%20open"
    with httpx.stream("GET", stream, timeout=60) as news:
        lines = news.iter_lines()
        assert "estimation" in next(line for line in lines if line)
        for _ in range(12):
            id = public.call("plan", "9.9.9.9", []).json()["event_id"]
            assert "complete" in httpx.get(f"{public.address}{API}call/plan/{id}", timeout=60).text
        public.held.clear()
        assert any("process_completed" in line for line in lines)


def test_answers_that_nobody_reads_are_forgotten(public: PublicPage, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = public.page._queue

    def leave(count: int) -> list[str]:
        for _ in range(count):
            assert public.call("plan", "9.9.9.9", []).status_code == 200
            until(lambda: not queue.event_ids_to_events)
        return [*queue.pending_messages_per_session]

    first = leave(5)
    monkeypatch.setattr(queue.pending_messages_per_session, "max_size", len(first))
    assert len(leave(len(first))) == len(first)
    assert not set(first) & (queue.pending_event_ids_session.keys() | queue.pending_messages_per_session)


def test_a_run_that_is_cancelled_ends_within_a_step(public: PublicPage, tmp_path: Path) -> None:
    client = Client(public.address, verbose=False, download_files=str(tmp_path))
    before = public.rehearsal.ended.count("closed")
    job = client.submit("a red circle", api_name="/infer")
    until(lambda: public.rehearsal.running == 1 and job.communicator.event_id)  # by which it is cancelled
    job.cancel()
    until(lambda: public.core.line.count == 0)
    assert public.rehearsal.ended.count("closed") == before + 1


def test_a_run_whose_client_has_gone_ends_within_a_step(public: PublicPage) -> None:
    id = public.infer("8.8.8.8").json()["event_id"]
    until(lambda: public.rehearsal.running == 1)
    with httpx.stream("GET", f"{public.address}{API}call/infer/{id}", timeout=60) as stream:
        assert stream.status_code == 200
    until(lambda: public.core.line.count == 0)


def test_what_is_too_large_is_refused_before_it_is_read(public: PublicPage) -> None:
    answer = public.call("plan", "8.8.8.8", ["x" * 200_000])
    assert answer.status_code == 413
    assert answer.json() == {"detail": "the request is too large; one request may have 0.1 MiB here"}
    sent = httpx.post(f"{public.address}{API}upload", files={"files": bytes(300_000)}, timeout=60)
    assert sent.status_code == 413
    assert sent.json() == {"detail": "the upload is too large; one upload may have 0.2 MiB here"}

    def parts() -> Iterator[bytes]:
        yield b"--x\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    sent = httpx.post(f"{public.address}{API}upload", content=parts(), headers=kind, timeout=60)
    assert sent.status_code == 411


def test_uploads_have_a_total_and_the_oldest_make_room(public: PublicPage) -> None:
    sent = []
    for number in range(12):
        files = {"files": (f"{number}.bin", number.to_bytes(1) * 150_000)}
        answer = httpx.post(f"{public.address}{API}upload", files=files, timeout=60)
        sent += [Path(path) for path in answer.json()]
    assert len(sent) == 12
    until(lambda: sum(path.exists() for path in sent) * 150_000 <= 2**20)  # the answer may be there before
    left = [path.exists() for path in sent]
    assert left == sorted(left)  # the newest are there
    assert sum(left) >= 6


def test_pictures_that_were_served_count_among_them(public: PublicPage) -> None:
    files = [Path(write_served_file(bytes([number]) * 1000, "a.png").path) for number in range(5)]
    trim_files(public.page, 2500)
    assert [file.exists() for file in files] == [False, False, False, True, True]


def test_a_visit_takes_little_and_few_are_remembered(public: PublicPage) -> None:
    for number in range(30):
        data = {"data": [], "fn_index": 0, "session_hash": f"visit-{number}"}
        public_post = httpx.post(f"{public.address}{API}queue/join", json=data, timeout=60)
        assert public_post.status_code in (200, 422)
    sessions = public.page.app.state_holder.session_data
    until(lambda: "visit-29" in sessions)
    assert len(sessions) <= 12
    assert all(len(session.config_values) == 0 for session in sessions.values())
