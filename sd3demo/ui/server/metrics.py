"""What an operator's monitoring reads at `/metrics`, by prometheus_client.

The figures are those of this process. Where several serve one page, the environment names a folder in which
all of them write, and each answers with the sums: see `workers`. Gauges are then those of the processes that
live, as they last set them.
"""

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name, which it reads when it is imported
RESIDENT = "process_resident_memory_bytes"

REGISTRY = CollectorRegistry()
RUNS = Counter("sd3demo_runs", "Runs by how they ended.", ["outcome"], registry=REGISTRY)
REFUSALS = Counter("sd3demo_refusals", "What was refused, by reason.", ["reason"], registry=REGISTRY)
PHASE_SECONDS = Histogram(
    "sd3demo_phase_seconds",
    "Seconds of finished runs by phase.",
    ["phase"],
    registry=REGISTRY,
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
ACTIVE_RUNS = Gauge(
    "sd3demo_active_runs", "Runs that go on now.", registry=REGISTRY, multiprocess_mode="livesum"
)
QUEUE_LENGTH = Gauge(
    "sd3demo_queue_length", "Runs that wait in the queue.", registry=REGISTRY, multiprocess_mode="livesum"
)
SESSIONS = Gauge(
    "sd3demo_sessions", "Sessions whose state is kept.", registry=REGISTRY, multiprocess_mode="livesum"
)
READY = Gauge(
    "sd3demo_ready", "Processes whose /readyz answers 200.", registry=REGISTRY, multiprocess_mode="livesum"
)
MEMORY = Gauge("sd3demo_memory_bytes", "Resident memory.", registry=REGISTRY, multiprocess_mode="livesum")
PROCESS = ProcessCollector(registry=REGISTRY)  # process_resident_memory_bytes among others, of one process


def resident_memory() -> float:
    """The bytes of memory that this process holds; 0 where the system does not say."""
    found = [metric.samples[0].value for metric in PROCESS.collect() if metric.name == RESIDENT]
    return found[0] if found else 0.0


def exposition() -> bytes:
    """The figures as Prometheus reads them: of all processes that share a folder, else of this one."""
    if not os.environ.get(SHARED_FOLDER):
        return generate_latest(REGISTRY)
    of_all = CollectorRegistry()
    MultiProcessCollector(of_all)
    return generate_latest(of_all)
