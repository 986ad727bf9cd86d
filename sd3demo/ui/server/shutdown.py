"""The end of a page that somebody asked to stop, by SIGTERM as a service manager does or by Ctrl-C.

It takes nothing more, and lets what goes on finish within a given time. What is not done by then ends before
its next step, with a sentence. A run is in the history whole or not at all in any case.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import gradio as gr

from sd3demo.ui.server.gradio_internals import has_undelivered, pending_jobs
from sd3demo.ui.server.line import Line
from sd3demo.ui.server.operations import Operations
from sd3demo.ui.server.run_log import write_line

GRACE = 20.0  # seconds that runs have to finish: less than the 30 after which Kubernetes kills
LAST = 5.0  # seconds that runs have to end after that, each within a step
QUIET = 1.0  # seconds without a request after which nobody fetches a result any more
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def signals_heard() -> Iterator[threading.Event]:
    """Gives the event that one of SIGNALS sets, also while the page opens; a second one ends the process.

    Python's own answer to Ctrl-C, an exception wherever the main thread is, would be lost in code that cannot
    be interrupted. Outside the main thread, which alone hears signals, the event stays unset.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            _leave(128 + number)
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {each: signal.signal(each, ask) for each in SIGNALS}
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def serve_until(
    asked: threading.Event, page: gr.Blocks, operations: Operations, line: Line, grace: float
) -> None:
    """Return when the page is ended: by the event of `signals_heard`, or by whoever closes the page.

    A run that does not come to its end does not keep the process: it ends at once then.
    """
    while page.is_running and not asked.wait(0.1):
        pass
    if asked.is_set():
        ended = drain(operations, lambda: pending_jobs(page) > 0 or line.count > 0, grace, line.close)
        operations.wait_until_idle(LAST, lambda: has_undelivered(page), QUIET)  # or its client has gone
        if not ended:
            _leave(1)  # a thread that cannot be ended would keep the process for ever
        page.close(verbose=False)


def drain(
    operations: Operations,
    pending: Callable[[], bool],
    grace: float,
    let_go: Callable[[], None] = lambda: None,
) -> bool:
    """Take nothing more and wait for what goes on; return whether all of it ended.

    What is not done after `grace` seconds is asked to end, and `let_go` ends what waits.
    """
    operations.close()
    write_line("closing", grace=grace)
    finished = operations.wait_until_idle(grace, pending)
    if not finished:
        operations.cut_off()
        let_go()
    idle = finished or operations.wait_until_idle(LAST, pending)
    write_line("closed", outcome="finished" if finished else "cut off" if idle else "killed")
    return idle


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
