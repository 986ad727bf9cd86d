"""`sd3demo train`: the embedded model, trained on its procedural world for a number of minutes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.training.settings import TrainSettings


def train(settings: TrainSettings, report: Report) -> int:
    from sd3demo.training.run import train as run

    losses: dict[str, float] = {}
    scores: dict[str, float] = {}
    examples = 0
    with _set_on(signal.SIGINT, signal.SIGTERM) as stop:  # a stopped training saves its checkpoint
        for progress in run(settings, stop):
            figures = " ".join(f"{name} {value:.4g}" for name, value in progress.figures.items())
            report.progress(f"{progress.stage}: {progress.examples:,} examples, {figures}")
            if progress.stage == "exam":
                scores = progress.figures
            else:
                losses[progress.stage] = progress.figures["loss"]
            if progress.stage == "flow":
                examples = progress.examples
    values = {"loss": losses, "examples": examples, "scores": scores, "out": str(settings.out)}
    report.result(values, f"{settings.out}/model: {examples:,} examples")
    return 0


@contextmanager
def _set_on(*signals: signal.Signals) -> Iterator[Event]:
    """Yield an event that these signals set while the block runs."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


COMMAND = Command(train, (TrainSettings,))
