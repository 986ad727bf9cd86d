"""A study whose cells are measured by the workers of a Ray cluster, each as a task.

A worker builds the study's cells itself and measures the one of its number, so that nothing but settings and
results travels. Results go into the cache as they come: a study that was stopped goes on where it stood, with
a cluster or without. Ray runs a task again whose worker was lost. The table is made as on one machine.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Settings, counted
from sd3demo.studies.study import Measured, Raw, StudyEvent, cached, find_study, keys_of

if TYPE_CHECKING:
    from sd3demo.engine import Engine

AUTO = "auto"
RETRIES = 3  # times that a cell is measured again whose worker was lost
MISSING = 'a cluster needs Ray: pip install "sd3demo[cluster]", or leave out --cluster'


def run_on_cluster(
    name: str, settings: Settings, address: str, keep: Path, *, anew: bool = False
) -> Generator[StudyEvent, None, None]:
    """Yield each cell that is not cached as a worker has measured it, in any order, and at last the table.

    `address` is a cluster's, or `auto`: the one that runs on this machine or that RAY_ADDRESS names, else one
    that is started here for as long as the study takes. Raises Refusal where there is no Ray or no cluster,
    and for what the models cannot do; Failure where a cell's workers were lost again and again.
    """
    study = find_study(name)
    cells = study.cells(settings)
    keys = keys_of(cells)
    kept = cached(keep, cells)
    first = {key: place for place, key in reversed([*enumerate(keys)])}
    missing = {key: place for key, place in first.items() if anew or key not in kept}
    started = time.perf_counter()
    if missing:
        with connected(address) as ray:
            task = ray.remote(measure_cell).options(max_retries=RETRIES, **_resources(ray))
            waiting = {task.remote(name, settings, place, key): key for key, place in missing.items()}
            while waiting:
                (done, *_), _ = ray.wait([*waiting])
                key = waiting.pop(done)
                cell = cells[first[key]]
                kept.add(cell.measurement.name, key, {"model": cell.model, **cell.given}, _raw(ray, done))
                fresh, seconds = len(missing) - len(waiting), time.perf_counter() - started
                left = seconds / fresh * len(waiting)
                yield Measured(cell, kept[key], fresh, len(missing), True, seconds, left)
    seconds = time.perf_counter() - started
    measured = [
        Measured(cell, kept[key], place + 1, len(cells), key in missing, seconds, 0.0)
        for place, (cell, key) in enumerate(zip(cells, keys, strict=True))
    ]
    yield study.table(settings, measured)


def measure_cell(name: str, settings: Settings, place: int, key: str) -> Raw:
    """Measure one cell of a study, in a worker; `key` is what whoever asks knows it by."""
    cell = find_study(name).cells(settings)[place]
    if keys_of([cell]) != [key]:
        raise Refusal(
            f"a worker has other weights of {cell.model} than this machine, or another version of sd3demo; "
            "give both the same"
        )
    return cell.measurement.take(cell, _engine())


@cache
def _engine() -> Engine:
    """The one engine of a worker's process, which keeps the model from cell to cell."""
    import torch

    from sd3demo.engine import Engine

    torch.set_num_threads(_threads())
    return Engine()


def _threads() -> int:
    """The threads of a worker: the machine's cores, shared among the workers that Ray has there."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    (workers,) = [each["Resources"].get("CPU", 1) for each in ray.nodes() if each["NodeID"] == node]
    return max(1, (os.cpu_count() or 1) // max(1, int(workers)))


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield the module ray, connected to a cluster; one that was started here ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    try:
        import ray
    except ImportError as error:
        raise Refusal(MISSING) from error

    try:
        ray.init(None if address == AUTO else address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        why = str(error).strip().partition("\n")[0][:200]
        raise Refusal(
            f"cannot join a Ray cluster at {address} ({why}): start one with `ray start --head`, or leave "
            "out --cluster"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _resources(ray: Any) -> Mapping[str, float]:
    """What a cell takes: a GPU where the cluster has some, else one CPU as Ray counts them."""
    return {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}


def _raw(ray: Any, done: Any) -> Raw:
    """The result of a task, or its error as it was raised there."""
    try:
        raw: Raw = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Refusal | Failure):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise Failure(
            f"the worker of a cell was lost {counted(RETRIES + 1, 'time')}; results so far are cached, so "
            "run the study again to go on"
        ) from error
    return raw
