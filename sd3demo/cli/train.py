"""`sd3demo train`: the embedded model, trained on its procedural world until the clock stops."""

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
    with _asked_to_end(signal.SIGINT, signal.SIGTERM) as stop:  # what was learnt so far is saved
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
def _asked_to_end(*signals: signal.Signals) -> Iterator[Event]:
    """An event that these signals set for as long as the block runs."""
    stop = Event()
    before = {asked: signal.signal(asked, lambda *_: stop.set()) for asked in signals}
    try:
        yield stop
    finally:
        for asked, handler in before.items():
            signal.signal(asked, handler)


COMMAND = Command(train, (TrainSettings,))
