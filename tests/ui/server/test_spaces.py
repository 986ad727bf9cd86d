"""ZeroGPU by its own package, `spaces`, off the Hub: a server here plays the one that lends GPUs.

What the package does is its own: it forks a process, pickles both ways, and raises its errors. Only the parts
that need the GPU itself are left out.
"""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import json, sys
sys.modules["torch"] = None  # a torch without CUDA has nothing that the package could patch; it does without
import spaces
del sys.modules["torch"]
from gradio_client import Client
from sd3demo.ui import Core, ServeOptions, build, launch
from sd3demo.ui.server import zerogpu
from sd3demo.ui.server.run_log import to_stderr
from tests.ui.fake_page import Rehearsal

to_stderr()
run = zerogpu.on_gpu(Rehearsal().run, lambda budget: None)
assert run.__name__ == "from_there"
address = launch(build(Core(("tiny",), run)), port=int(sys.argv[1]), wait=False)
client = Client(address, verbose=False, headers=json.loads(sys.argv[2]))
try:
    _, seed = client.predict("a red circle", seed=3, num_inference_steps=2, api_name="/infer")
    print("SAID", f"seed {seed}", flush=True)
except Exception as error:
    print("SAID", error, flush=True)
import multiprocessing, os
for worker in multiprocessing.active_children():  # it waits for its next call, and holds the output open
    worker.kill()
sys.stderr.flush()
os._exit(0)
"""


@dataclass
class Lender:
    """Answers as the Hub's scheduler does; `status` and `body` are what it says to a request for a GPU."""

    status: int = 200
    body: dict = field(
        default_factory=lambda: {
            "idle": False,
            "nvidiaIndex": 0,
            "nvidiaUUID": "GPU-0",
            "allowToken": "token",
        }
    )
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def lender() -> Iterator[tuple[Lender, str]]:
    found = Lender()

    class Scheduler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            found.asked.append(
                (parts.path, {name: value[0] for name, value in parse_qs(parts.query).items()})
            )
            scheduling = parts.path == "/schedule"
            content = json.dumps(found.body if scheduling else {}).encode()
            self.send_response(found.status if scheduling else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scheduler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def visit(address: str, home: Path, headers: dict[str, str]) -> tuple[str, str]:
    """What a visitor is told, and the log."""
    import os
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "cgroup").write_text("0::/\n1:devices:/kubepods/pod/container\n")
    zero = {
        "HOME": str(home),
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": address,
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(home / "cgroup"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(port), json.dumps(headers)],
        cwd=ROOT,
        env=os.environ | zero,
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = [line.removeprefix("SAID ") for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert said, done.stdout + done.stderr
    return said[0], done.stderr


def token() -> dict[str, str]:
    """What the Hub's proxy sends of a visitor."""
    payload = base64.urlsafe_b64encode(json.dumps({"ip": "1.2.3.4"}).encode()).decode().rstrip("=")
    return {"X-IP-Token": f"a.{payload}.b"}


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (429, {"left": 5, "wait": 3600}, token(), "You have exceeded your ZeroGPU quota"),
        slow(429, {"left": 5, "wait": 0}, token(), "You have exceeded your ZeroGPU runs limit"),
        slow(429, {"left": 5, "wait": 60}, {}, "Space app has reached its GPU limit"),
        slow(429, {"left": 5, "wait": -1}, token(), "is larger than the maximum allowed"),
        slow(503, {}, token(), "No GPU was available"),
    ],
)
def test_what_zerogpu_refuses_reaches_the_visitor_in_its_own_words(
    status: int,
    body: dict,
    headers: dict[str, str],
    words: str,
    lender: tuple[Lender, str],
    tmp_path: Path,
) -> None:
    found, address = lender
    found.status, found.body = status, body
    said, log = visit(address, tmp_path, headers)
    assert words in said
    assert "something went wrong" not in said
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [line["outcome"] for line in lines if line["event"] == "run"] == ["quota"]
    assert [line["reason"] for line in lines if line["event"] == "refusal"] == ["quota"]


def test_a_run_goes_through_the_package_and_asks_for_the_seconds_of_its_plan(
    lender: tuple[Lender, str], tmp_path: Path
) -> None:
    found, address = lender
    said, log = visit(address, tmp_path, token())
    assert said == "seed 3", log
    asked = dict(found.asked)
    assert set(asked) == {"/startup-report", "/schedule", "/allow", "/release"}
    assert int(asked["/schedule"]["durationSeconds"]) >= 8
    assert asked["/release"]["fail"] == "false"
