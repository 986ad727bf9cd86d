"""The real page in a process of its own: `sd3demo serve` with public limits, and all that it writes in one
folder. What is measured of the process is read from /proc."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
START = 300.0  # seconds that a busy machine may need to start the page and load its model


class ServedPage:
    """A page that can be started, killed and started again on the same store.

    `module` is what Python runs: the program itself, or `tests.soak.faulty_serve` round it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: Mapping[str, str] | None = None,
        module: str = "sd3demo",
        words: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.module = module
        self.words = words
        self.runs = folder / "runs"
        self.served = folder / "served"
        self.log = folder / "log"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("home", "tmp", "cwd", "served"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        drop = ("SD3DEMO_", "GRADIO_", "XDG_", "SPACE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
        limited = {f"SD3DEMO_{name.upper()}": value for name, value in (limits or {}).items()}
        self.env = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "tmp" / "torch"),
            "GRADIO_TEMP_DIR": str(self.served),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_OFFLINE": "1",
            "SD3DEMO_PUBLIC": "true",
            "SD3DEMO_BEHIND_PROXY": "true",
            **limited,
            **(env or {}),
        }

    def start(self) -> float:
        """Start the process; return the seconds until it answers."""
        begun = time.monotonic()
        words = [sys.executable, "-m", self.module, "serve", "--port", str(self.port)]
        words += ["--runs", str(self.runs), *self.words]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder / "cwd", env=self.env, stdout=log, stderr=log
            )
        self._wait_for("/healthz")
        return time.monotonic() - begun

    def wait_ready(self) -> None:
        """Wait until the model is loaded."""
        self._wait_for("/readyz")

    def kill(self) -> None:
        """End the process as nothing can be warned of."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """End the page as an operator does; return its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9
        self.process = None
        return code

    def __enter__(self) -> "ServedPage":
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def memory(self) -> float:
        """MiB that the process has in memory."""
        return _status(self._pid, "VmRSS") / 1024

    @property
    def threads(self) -> int:
        return _status(self._pid, "Threads")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._pid}/fd"))

    def said(self) -> str:
        """All that the process wrote to its output and its log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    @property
    def tracebacks(self) -> int:
        """Tracebacks in the log."""
        return self.said().count("Traceback (most recent call last)")

    @property
    def queue(self) -> int:
        """Runs that go on or wait, by the page's own metrics."""
        text = httpx.get(f"{self.address}/metrics", timeout=60).text
        names = ("sd3demo_active_runs ", "sd3demo_queue_length ")
        return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(names))

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no run goes on or waits; return whether it came to that."""
        end = time.monotonic() + seconds
        while self.queue:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    @property
    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def _wait_for(self, path: str) -> None:
        assert self.process is not None
        end = time.monotonic() + START
        while True:
            try:
                if httpx.get(f"{self.address}{path}", timeout=10).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"the page ended with {self.process.returncode}: {self.said()[-2000:]}")
            if time.monotonic() > end:
                raise RuntimeError(f"the page does not answer {path}: {self.said()[-2000:]}")
            time.sleep(0.02)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)
