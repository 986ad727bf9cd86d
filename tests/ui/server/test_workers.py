"""Several processes of one page: who is sent where, what they share, and that they live and end together."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gradio_client import Client
from prometheus_client.parser import text_string_to_metric_families

from sd3demo.cli import main
from sd3demo.engine.plan import device
from sd3demo.errors import Failure, Refusal
from sd3demo.history import RunStore
from sd3demo.settings import parse
from sd3demo.ui.server.limits import AT_HOME, Limits, divided
from sd3demo.ui.server.proxy_config import COOKIE, ProxiedPage, haproxy_config
from sd3demo.ui.server.workers import PROXY, Worker, threads_of
from tests.ui.server.pages import Reply, ask

ROOT = Path(__file__).resolve().parents[3]
PAGE = ProxiedPage("0.0.0.0", 7860, (9001, 9002))
needs_proxy = pytest.mark.skipif(shutil.which(PROXY) is None, reason="HAProxy is not installed")


def section(text: str, name: str) -> str:
    return re.split(r"\n(?=\S)", text.split(f"\n{name}\n")[1])[0]


def test_each_process_is_in_each_group_and_its_cookie_names_it() -> None:
    text = haproxy_config(PAGE)
    for group in ("backend visits", "backend calls"):
        assert f"cookie {COOKIE} insert indirect nocache httponly" in section(text, group)
        for number, port in enumerate(PAGE.workers, 1):
            assert f"server worker-{number} 127.0.0.1:{port} cookie {number}" in section(text, group)
    assert "cookie" not in section(text, "backend ready")
    assert "uri /readyz" in section(text, "backend ready")
    assert "bind 0.0.0.0:7860" in section(text, "frontend page")


def test_programs_without_cookies_stay_by_their_address_and_visitors_go_where_there_is_room() -> None:
    text = haproxy_config(PAGE)
    assert "balance source" in section(text, "backend calls")
    assert "balance leastconn" in section(text, "backend visits")
    assert f"use_backend visits if {{ path / /config }} or {{ req.cook({COOKIE}) -m found }}" in text


@pytest.mark.parametrize("behind", [False, True])
def test_what_a_visitor_says_of_its_address_counts_behind_another_proxy_alone(behind: bool) -> None:
    text = haproxy_config(ProxiedPage("::", 7860, (9001,), behind))
    assert ("del-header X-Forwarded-For" in text) is not behind
    assert ("option forwardfor" in text) is not behind


@needs_proxy
@pytest.mark.parametrize("page", [PAGE, ProxiedPage("[::1]", 80, (1, 2, 3), True)])
def test_haproxy_takes_the_file(page: ProxiedPage, tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(haproxy_config(page))
    done = subprocess.run([PROXY, "-c", "-f", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_haproxy_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["serve", "--workers", "3"]) == 2
    said = capsys.readouterr().err
    assert "workers is 3, and haproxy" in said
    assert "apt-get install haproxy" in said


@pytest.mark.parametrize(("count", "cores", "threads"), [(2, 8, 4), (3, 8, 2), (2, 2, 1), (4, 2, 1)])
def test_the_cores_are_divided(count: int, cores: int, threads: int) -> None:
    assert threads_of(count, cores) == threads


@pytest.mark.parametrize(("said", "threads"), [("", 8), ("3", 3), ("99", 8), ("0", 8), ("many", 8)])
def test_a_plan_counts_on_the_threads_that_there_are(
    said: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert device.budget("cpu").flops == threads * device.CPU_FLOPS


def test_what_all_processes_have_together_is_divided_and_what_a_visitor_has_is_not() -> None:
    asked = {"places": 31, "uploads_mib": 100, "sessions": 1000, "visitor_places": 4, "run_seconds": 60}
    whole = parse(Limits, asked)
    half = divided(whole, 2)
    assert (half.places, half.uploads_mib, half.sessions) == (16, 50, 500)
    same = set(Limits.model_fields) - {"places", "uploads_mib", "sessions"}
    assert half.model_dump(include=same) == whole.model_dump(include=same)
    assert divided(AT_HOME, 1) == AT_HOME
    assert parse(Limits, divided(parse(Limits, {"places": 1, "uploads_mib": 1, "sessions": 10}), 64))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse(port: int) -> None:
    """For a process that ends before it serves."""
    raise Refusal("this cannot be served")


def test_a_process_that_cannot_serve_is_not_started_again(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    worker = Worker(refuse, 1, 9001)
    worker.process.join(120)
    assert "this cannot be served" in capfd.readouterr().err
    with pytest.raises(Failure, match="process 1 of the page ended with code 2 before it served"):
        worker.start_again(tmp_path)


class Alive(BaseHTTPRequestHandler):
    """Says that it is alive, and which process it is."""

    def do_GET(self) -> None:
        text = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        pass


def serve_alive(port: int) -> None:
    """For a process that has no page: it ends well at SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer(("127.0.0.1", port), Alive).serve_forever()


@contextmanager
def two_alive() -> Iterator[tuple[str, subprocess.Popen]]:
    """Two processes that answer behind HAProxy, and the process that holds them."""
    port = free_port()
    code = f"""
from sd3demo.ui.server.workers import serve_workers
from tests.ui.server.test_workers import serve_alive
raise SystemExit(serve_workers(serve_alive, 2, host="127.0.0.1", port={port}, grace=10))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        address = next(line for line in parent.stdout if "The page is at" in line).split()[-1]
        wait_for(lambda: len({worker_of(address, number) for number in "12"}) == 2)
        yield address, parent
    finally:
        parent.terminate()
        parent.wait(90)


def worker_of(address: str, number: str) -> int:
    """The process that a visitor with this cookie comes to."""
    reply = ask(address, "/", Cookie=f"{COOKIE}={number}")
    return int(reply.text) if reply.status == 200 else 0


def gone(id: int) -> bool:
    try:
        os.kill(id, 0)
    except ProcessLookupError:
        return True
    return False


@needs_proxy
@pytest.mark.slow
def test_a_killed_process_comes_back_and_sigterm_ends_all() -> None:
    with two_alive() as (address, parent):
        first, second = (worker_of(address, number) for number in "12")
        os.kill(first, signal.SIGKILL)
        assert worker_of(address, "1") == second
        wait_for(lambda: worker_of(address, "1") not in (0, first, second))
        again = worker_of(address, "1")
        assert worker_of(address, "2") == second
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(60) == 0
        assert gone(second)
        assert gone(again)
        with pytest.raises(OSError, match="refused"):
            ask(address, "/")


@needs_proxy
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here")
def test_nothing_is_left_of_a_page_whose_first_process_is_killed() -> None:
    with two_alive() as (address, parent):
        both = [worker_of(address, number) for number in "12"]
        parent.kill()
        parent.wait(60)
        wait_for(lambda: all(map(gone, both)))
        with pytest.raises(OSError, match="refused"):
            ask(address, "/")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_figures_are_the_sums_of_all_processes(tmp_path: Path) -> None:
    code = """
import os
from prometheus_client.multiprocess import mark_process_dead
from sd3demo.ui.server import metrics
metrics.RUNS.labels("finished").inc(2)
metrics.ACTIVE_RUNS.set(1)
other = os.fork()
if other == 0:
    metrics.RUNS.labels("finished").inc(3)
    metrics.ACTIVE_RUNS.set(2)
    os._exit(0)
os.waitpid(other, 0)
print(metrics.exposition().decode())
print("<>")
mark_process_dead(other)
print(metrics.exposition().decode())
"""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    both, one = (samples(text) for text in done.stdout.split("<>"))
    assert (both["sd3demo_runs_total finished"], both["sd3demo_active_runs"]) == (5, 3)
    assert (one["sd3demo_runs_total finished"], one["sd3demo_active_runs"]) == (
        5,
        1,
    )  # the dead one's runs stay


def samples(text: str) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def two_workers(runs: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A real page of two processes, and the process that holds them; all are gone at the end."""
    port = free_port()
    words = ["serve", "--workers", "2", "--port", str(port), "--runs", str(runs), "--grace", "60"]
    with log.open("w") as errors:
        parent = subprocess.Popen(
            [sys.executable, "-m", "sd3demo", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert parent.stdout is not None
        yield next(line for line in parent.stdout if "The page is at" in line).split()[-1], parent
    finally:
        parent.terminate()
        try:
            parent.wait(90)
        finally:
            parent.kill()


def processes(parent: subprocess.Popen) -> list[int]:
    """The ids of the processes of a page."""
    words = ["pgrep", "-P", str(parent.pid), "-f", "spawn_main"]
    found = subprocess.run(words, capture_output=True, text=True).stdout.split()
    return sorted(int(each) for each in found)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not come within two minutes"
        time.sleep(0.2)


def cookie_of(reply: Reply) -> str:
    """The number of the process that a visitor was given; empty where they keep the one that they have."""
    found = re.search(rf"{COOKIE}=(\d+)", reply.headers.get("set-cookie", ""))
    return found[1] if found else ""


def history_of(address: str, worker: str) -> str:
    """What the History tab of one process shows."""
    mine = {"Cookie": f"{COOKIE}={worker}"}
    dependencies = ask(address, "/config", **mine).json["dependencies"]
    (searched,) = [each["id"] for each in dependencies if each["api_name"] == "searched"]
    values = {"fn_index": searched, "data": ["", None], "session_hash": f"visit-{worker}"}
    reply = ask(address, "/gradio_api/run/predict", values, **mine)
    assert reply.status == 200, reply.text
    return reply.text


@needs_proxy
@pytest.mark.slow
def test_two_processes_are_one_page(tmp_path: Path) -> None:
    runs, log = tmp_path / "runs", tmp_path / "log"
    with two_workers(runs, log) as (address, parent):
        ready = "sd3demo_ready"
        wait_for(lambda: samples(ask(address, "/metrics").text).get(ready) == 2)
        assert ask(address, "/readyz").status == 200

        # Two visitors come to two processes, and stay.
        visitors = [cookie_of(ask(address, "/")) for _ in range(2)]
        assert sorted(visitors) == ["1", "2"]
        for each in visitors:
            for path in ("/", "/config", "/gradio_api/info"):
                assert cookie_of(ask(address, path, Cookie=f"{COOKIE}={each}")) == ""

        # What is made on either is in the history of both, and counted by both.
        for visitor in (1, 2):
            client = Client(address, verbose=False, download_files=str(tmp_path / "got"))
            picture, _ = client.predict(f"circle {visitor}", num_inference_steps=2, api_name="/infer")
            assert Path(picture).stat().st_size > 0
        store = RunStore(runs)
        assert len(store.ids()) == 2
        for each in visitors:
            assert all(id in history_of(address, each) for id in store.ids())
            figures = samples(ask(address, "/metrics", Cookie=f"{COOKIE}={each}").text)
            assert figures["sd3demo_runs_total finished"] == 2

        # One that is killed comes back; meanwhile its visitors are served by the other.
        before = processes(parent)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        assert ask(address, "/", Cookie=f"{COOKIE}=1").status == 200
        assert ask(address, "/", Cookie=f"{COOKIE}=2").status == 200
        wait_for(lambda: samples(ask(address, "/metrics").text).get(ready) == 2)
        after = processes(parent)
        assert len(set(after) - set(before)) == 1
        wait_for(
            lambda: [cookie_of(ask(address, "/healthz", Cookie=f"{COOKIE}={n}")) for n in "12"] == [""] * 2
        )
        assert samples(ask(address, "/metrics").text)["sd3demo_runs_total finished"] == 2

        # SIGTERM ends a run that goes on in its own time, and then everything.
        job = Client(address, verbose=False, download_files=str(tmp_path / "got")).submit(
            "a last circle", num_inference_steps=100, api_name="/infer"
        )
        wait_for(lambda: samples(ask(address, "/metrics").text).get("sd3demo_active_runs") == 1)
        parent.send_signal(signal.SIGTERM)
        picture, _ = job.result(timeout=120)
        assert Path(picture).stat().st_size > 0
        assert parent.wait(120) == 0
        assert processes(parent) == []
        assert all(map(gone, after))
    assert len(store.ids()) == 3
    written = log.read_text()
    assert "Traceback" not in written
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert [line["code"] for line in lines if line["event"] == "worker"] == [-signal.SIGKILL]
