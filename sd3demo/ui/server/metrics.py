"""What an operator's monitoring reads at `/metrics`: the figures of this process, by prometheus_client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

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
ACTIVE_RUNS = Gauge("sd3demo_active_runs", "Runs that go on now.", registry=REGISTRY)
QUEUE_LENGTH = Gauge("sd3demo_queue_length", "Runs that wait in the queue.", registry=REGISTRY)
SESSIONS = Gauge("sd3demo_sessions", "Sessions whose state is kept.", registry=REGISTRY)
READY = Gauge("sd3demo_ready", "1 where /readyz answers 200.", registry=REGISTRY)
ProcessCollector(registry=REGISTRY)  # process_resident_memory_bytes among others
