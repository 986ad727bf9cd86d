"""A study on a Ray cluster: the table of one machine, resumable, whatever becomes of a worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sd3demo.cli import main
from sd3demo.engine import Engine
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Settings, parse
from sd3demo.studies import cluster
from sd3demo.studies.cluster import run_on_cluster
from sd3demo.studies.study import Measured, Table, cached_cells, find_study, run

NAME = "path-length"


class RayTaskError(Exception):
    """Ray's error of a task."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class RayError(Exception):
    """Ray's error of a worker that was lost."""


@dataclass
class FakeRay:
    """What a study asks of Ray, in this process; tasks end in the reverse of their order."""

    gpus: int = 0
    error: Exception | None = None
    done: list[tuple] = field(default_factory=list)
    options: dict = field(default_factory=dict)
    connections: list[str | None] = field(default_factory=list)
    exceptions: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(RayTaskError=RayTaskError, RayError=RayError)
    )

    def init(self, address: str | None, **how: object) -> None:
        if address == "nowhere:1":
            raise ConnectionError("no")
        self.connections.append(address)

    def shutdown(self) -> None:
        self.connections.append("shut down")

    def cluster_resources(self) -> dict[str, int]:
        return {"CPU": 2, "GPU": self.gpus}

    def remote(self, function: Callable) -> SimpleNamespace:
        def with_options(**options: object) -> SimpleNamespace:
            self.options = options
            return SimpleNamespace(remote=lambda *given: (function, given))

        return SimpleNamespace(options=with_options)

    def wait(self, tasks: Sequence[tuple]) -> tuple[list[tuple], list[tuple]]:
        return [tasks[-1]], [*tasks[:-1]]

    def get(self, task: tuple) -> object:
        function, given = task
        if self.error and len(self.done) == 2:
            raise self.error
        self.done.append(given)
        return function(*given)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(cluster, "_engine", Engine)
    return ray


@pytest.fixture
def small(checkpoint: Callable[..., Path]) -> Settings:
    """Settings of a study with six cells of a small model."""
    asked = {"model": str(checkpoint("sd3.5-medium")), "values": "2, 3", "n": 3, "categories": "colours"}
    return parse(find_study(NAME).settings, asked)


def on_one_machine(settings: Settings) -> Table:
    *_, table = run(find_study(NAME), settings, Engine(), None)
    assert isinstance(table, Table)
    return table


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As Ray's workers have: sums depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_table_is_that_of_one_machine_in_whatever_order_cells_are_measured(
    fake: FakeRay, small: Settings, tmp_path: Path
) -> None:
    *measured, table = run_on_cluster(NAME, small, "auto", tmp_path)
    assert table == on_one_machine(small)
    assert [one.done for one in measured if isinstance(one, Measured)] == [1, 2, 3, 4, 5, 6]
    assert measured[-1].left == 0
    assert fake.connections == [None, "shut down"]
    assert fake.options == {"max_retries": 3, "num_cpus": 1}


@pytest.mark.slow
def test_a_stopped_study_goes_on_with_a_cluster_and_without(
    fake: FakeRay, small: Settings, tmp_path: Path
) -> None:
    stopped = run_on_cluster(NAME, small, "10.0.0.5:6379", tmp_path)
    next(stopped), next(stopped)
    stopped.close()
    assert fake.connections == ["10.0.0.5:6379", "shut down"]
    assert cached_cells(find_study(NAME), small, tmp_path) == (2, 6)
    alone = run(find_study(NAME), small, Engine(), tmp_path)
    while cached_cells(find_study(NAME), small, tmp_path)[0] < 4:
        next(alone)
    alone.close()
    *measured, table = run_on_cluster(NAME, small, "auto", tmp_path)
    assert len(measured) == 2
    assert table == on_one_machine(small)
    assert [*run_on_cluster(NAME, small, "auto", tmp_path)] == [table]  # and asks no cluster
    assert len(fake.connections) == 4
    assert len([*run_on_cluster(NAME, small, "auto", tmp_path, anew=True)]) == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (RayTaskError(Refusal("n is 0")), Refusal, "n is 0"),
        (RayTaskError(Failure("no memory")), Failure, "no memory"),
        (RayError(), Failure, "the worker of a cell was lost 4 times; results so far are cached"),
    ],
)
def test_what_ends_a_cell_is_its_sentence_and_what_was_measured_stays(
    error: Exception, kind: type[Exception], sentence: str, fake: FakeRay, small: Settings, tmp_path: Path
) -> None:
    fake.error = error
    with pytest.raises(kind, match=sentence):
        list(run_on_cluster(NAME, small, "auto", tmp_path))
    assert cached_cells(find_study(NAME), small, tmp_path) == (2, 6)
    assert fake.connections[-1] == "shut down"


def test_a_worker_with_other_weights_is_refused(
    fake: FakeRay, small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cluster.measure_cell
    monkeypatch.setattr(cluster, "measure_cell", lambda *given: real(*given[:3], "0" * 32))
    with pytest.raises(Refusal, match=r"a worker has other weights of .* than this machine"):
        list(run_on_cluster(NAME, small, "auto", tmp_path))


def test_where_the_cluster_has_gpus_a_cell_takes_one(fake: FakeRay, small: Settings, tmp_path: Path) -> None:
    fake.gpus = 4
    next(run_on_cluster(NAME, small, "auto", tmp_path))
    assert fake.options["num_gpus"] == 1


@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 8, 1), (8, 2, 4), (2, 3, 1), (16, 5, 3)])
def test_the_cores_of_a_machine_are_shared_among_its_workers(
    cores: int, workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [
        {"NodeID": "a", "Resources": {"CPU": 99.0}},
        {"NodeID": "b", "Resources": {"CPU": float(workers)}},
    ]
    context = SimpleNamespace(get_node_id=lambda: "b")
    ray = SimpleNamespace(nodes=lambda: nodes, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert cluster._threads() == threads


def test_without_ray_or_a_cluster_there_is_a_sentence(
    fake: FakeRay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["study", NAME, "--n", "1", "--keep", str(tmp_path), "--out", str(tmp_path / "a.html")]
    assert main([*words, "--cluster", "nowhere:1"]) == 2
    assert (
        "cannot join a Ray cluster at nowhere:1 (no): start one with `ray start --head`"
        in capsys.readouterr().err
    )
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words, "--cluster", "auto"]) == 2
    said = capsys.readouterr().err
    assert 'a cluster needs Ray: pip install "sd3demo[cluster]", or leave out --cluster' in said
    assert len(said.splitlines()) == 1


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray cluster of this machine with two workers."""
    pytest.importorskip("ray", reason='needs Ray: pip install -e ".[cluster]"')
    from tests.soak.page import free_port

    for name in ("OMP_NUM_THREADS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    port = free_port()
    words = ["start", "--head", "--block", "--num-cpus", "2", "--port", str(port), "--node-ip-address"]
    words += ["127.0.0.1", "--include-dashboard", "false", "--object-store-memory", "100000000"]
    head = subprocess.Popen([sys.executable, "-m", "ray.scripts.scripts", *words], start_new_session=True)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)


def workers_at_work() -> list[int]:
    """The processes that measure a cell, by the title that Ray gives them."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"ray::measure_cell" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing_but_its_cell(
    two_workers: str, small: Settings, tmp_path: Path
) -> None:
    killed: list[int] = []
    events = []
    for news in _until_it_answers(small, two_workers, tmp_path):
        events.append(news)
        if not killed:
            killed = workers_at_work()[:1]
            for process in killed:
                os.kill(process, signal.SIGKILL)
    assert killed
    *measured, table = events
    assert len(measured) == 6
    assert table == on_one_machine(small)


def _until_it_answers(settings: Settings, address: str, keep: Path) -> Iterator[Measured | Table]:
    for _ in range(60):
        try:
            yield from run_on_cluster(NAME, settings, address, keep)
            return
        except Refusal as error:
            if "cannot join a Ray cluster" not in str(error):
                raise
            time.sleep(1)
    raise AssertionError("the cluster did not start")
