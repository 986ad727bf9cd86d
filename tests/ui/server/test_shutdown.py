"""A page is ended by a signal at any moment from its opening on."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from sd3demo.ui import app
from sd3demo.ui.server.operations import Operations
from sd3demo.ui.server.shutdown import SIGNALS, signals_heard


class Page:
    """Stands for a page that is open until somebody closes it."""

    open = True


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_the_event_and_raises_nothing(number: int) -> None:
    before = signal.getsignal(number)
    with signals_heard() as asked:
        assert not asked.is_set()
        os.kill(os.getpid(), number)
        assert asked.wait(10)
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_no_handler_is_set() -> None:
    seen: list[bool] = []

    def hear() -> None:
        with signals_heard() as asked:
            seen.append(asked.is_set())

    thread = threading.Thread(target=hear)
    thread.start()
    thread.join(10)
    assert seen == [False]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_page_opens_closes_it(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()
    served = SimpleNamespace(core=SimpleNamespace(line=None), operations=Operations())

    def open_page(*given: object) -> str:
        os.kill(os.getpid(), number)
        return "http://127.0.0.1:1/"

    def serve(asked: threading.Event, *given: object) -> None:
        assert asked.wait(10)
        page.open = False

    monkeypatch.setitem(app._SERVED, page, served)
    monkeypatch.setattr(app, "_listen", open_page)
    monkeypatch.setattr(app, "serve_until", serve)
    monkeypatch.setattr(app, "free_port", lambda host, port: 1)
    assert app.launch(page) == "http://127.0.0.1:1/"  # type: ignore[arg-type]
    assert not page.open
