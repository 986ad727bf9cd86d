"""Several processes of one page behind HAProxy: started, started again when one dies, and ended together.

Each is a page of its own with its own model, queue and sessions; the history and the figures of /metrics they
share. See `proxy_config` for who is sent where.
"""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnProcess
from multiprocessing.process import parent_process
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from prometheus_client import multiprocess

from sd3demo.errors import Failure, Refusal
from sd3demo.ui.server.metrics import SHARED_FOLDER
from sd3demo.ui.server.proxy_config import ProxiedPage, haproxy_config
from sd3demo.ui.server.run_log import write_line
from sd3demo.ui.server.shutdown import LAST, QUIET, SIGNALS

PROXY = "haproxy"
LOOK = 0.2  # seconds between two looks at the processes
QUICK = 20.0  # seconds within which a process that ends has not served
MOST_QUICK = 5  # ends of that kind in a row, after which the page gives up
SLACK = 5.0  # seconds beyond all that a closing page takes by itself

ServeOne: TypeAlias = Callable[[int], object]
"""Serves the page on a port of this machine until it is ended by a signal. Has to be picklable."""


def threads_of(count: int, cores: int) -> int:
    """Return the threads that each of `count` processes has of a machine's cores, one at least."""
    return max(cores // count, 1)


def find_proxy(count: int) -> str:
    """Return HAProxy's program. Raises Refusal where it is not installed."""
    found = shutil.which(PROXY)
    if found is None:
        raise Refusal(
            f"workers is {count}, and {PROXY}, which stands before several processes, is not installed; try "
            f"apt-get install {PROXY} or brew install {PROXY}, or leave out --workers"
        )
    return found


def serve_workers(
    serve_one: ServeOne, count: int, *, host: str, port: int, grace: float, behind_proxy: bool = False
) -> int:
    """Serve until a signal comes; return 0 where all ended by themselves then, 1 where one had to be killed.

    Raises Refusal where HAProxy is missing, and Failure where it or the processes do not stay up.
    """
    program = find_proxy(count)
    page = ProxiedPage(host, port, _free_ports(count), behind_proxy)
    with tempfile.TemporaryDirectory(prefix="sd3demo-workers-") as folder:
        config, figures = Path(folder, "haproxy.cfg"), Path(folder, "figures")
        config.write_text(haproxy_config(page), encoding="utf-8")
        figures.mkdir()
        threads = threads_of(count, os.cpu_count() or 1)
        # Read by the libraries of a new process as they are imported: before anything of ours is asked.
        os.environ |= {SHARED_FOLDER: str(figures), "OMP_NUM_THREADS": str(threads)}
        kills: list[Callable[[], None]] = []
        with _signals(kills) as asked:
            proxy = subprocess.Popen(
                [*_ended_with_us(), program, "-db", "-q", "-f", str(config)], start_new_session=True
            )
            kills.append(proxy.kill)
            workers: list[Worker] = []
            try:
                for number, each in enumerate(page.workers, 1):
                    workers.append(Worker(serve_one, number, each))
                    kills.append(workers[-1].kill)
                _watch(workers, proxy, asked, f"http://{_reachable(host)}:{port}/", figures)
                return 0 if _end(workers, grace) else 1
            finally:
                for worker in workers:
                    worker.kill()
                _end_proxy(proxy)


class Worker:
    """One process, on its port. It is started again in the same place when it dies."""

    def __init__(self, serve_one: ServeOne, number: int, port: int) -> None:
        self.serve_one = serve_one
        self.number = number
        self.port = port
        self.quick = 0
        """How many times in a row it ended before it can have served."""
        self.process = self._started()

    def _started(self) -> SpawnProcess:
        self.began = time.monotonic()
        context = multiprocessing.get_context("spawn")
        process = context.Process(
            target=_work, args=(self.serve_one, self.port), name=f"worker-{self.number}"
        )
        process.start()
        return process

    def kill(self) -> None:
        self.process.kill()

    def start_again(self, figures: Path) -> None:
        """Say how it ended, and start it anew. Raises Failure where it ended too often before it served."""
        lived = time.monotonic() - self.began
        code, pid = self.process.exitcode, self.process.pid
        write_line("worker", worker=self.number, outcome="died", code=code, seconds=round(lived, 1))
        multiprocess.mark_process_dead(pid, str(figures))
        self.quick = self.quick + 1 if lived < QUICK else 0
        if code == 2 or self.quick > MOST_QUICK:
            raise Failure(
                f"process {self.number} of the page ended with code {code} before it served; its own words "
                "stand above"
            )
        self.process = self._started()


def _watch(
    workers: Sequence[Worker], proxy: subprocess.Popen, asked: threading.Event, address: str, figures: Path
) -> None:
    """Return when a signal has asked for the end."""
    told = False
    while not asked.wait(LOOK):
        if not told and _answers(address):
            print(f"The page is at {address}", flush=True)
            told = True
        if proxy.poll() is not None:
            raise Failure(f"{PROXY} ended with code {proxy.returncode}; its own words stand above")
        for worker in workers:
            if not worker.process.is_alive():
                worker.start_again(figures)


def _end(workers: Sequence[Worker], grace: float) -> bool:
    """Ask all to end, and return whether all did by themselves."""
    for worker in workers:
        worker.process.terminate()
    end = time.monotonic() + grace + 2 * LAST + QUIET + SLACK
    for worker in workers:
        worker.process.join(max(end - time.monotonic(), 0))
    return all(worker.process.exitcode == 0 for worker in workers)


def _end_proxy(proxy: subprocess.Popen) -> None:
    """End HAProxy, softly at first: what is being delivered comes to its end."""
    proxy.send_signal(signal.SIGUSR1)
    with suppress(subprocess.TimeoutExpired):
        proxy.wait(QUIET)
    proxy.terminate()
    proxy.wait()


@contextmanager
def _signals(kills: Sequence[Callable[[], None]]) -> Iterator[threading.Event]:
    """An event that is set by a signal; at a second one all processes are killed."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            for kill in kills:
                kill()
            os._exit(128 + number)
        asked.set()

    before = {each: signal.signal(each, ask) for each in SIGNALS}
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _ended_with_us() -> list[str]:
    """Words before a program's own that end it when this process is killed; none where there are none."""
    found = shutil.which("setpriv")  # of util-linux
    return [found, "--pdeathsig", "TERM"] if found else []


def _work(serve_one: ServeOne, port: int) -> None:
    """What a process does. It is in a session of its own, so that Ctrl-C asks it once, and ends with us."""
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        serve_one(port)
    except Refusal as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except Failure as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _reachable(host: str) -> str:
    """The name under which this machine reaches what listens on a host."""
    return {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}healthz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
