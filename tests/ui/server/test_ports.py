"""Where the page listens: a taken port, a wrong host and a busy machine each have their sentence."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from gradio import http_server, networking
from gradio.routes import App

from sd3demo.errors import Refusal
from sd3demo.ui import launch
from sd3demo.ui.server import ports
from sd3demo.ui.server.gradio_internals import build_without_apps
from sd3demo.ui.server.ports import free_port

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def small() -> gr.Blocks:
    def built() -> gr.Blocks:
        with gr.Blocks(analytics_enabled=False) as page:
            gr.HTML("here")
        return page

    return build_without_apps(built)


def test_without_a_port_the_next_free_one_is_taken(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "DEFAULT_PORTS", range(taken, taken + 100))
    assert taken < free_port(None, None) < taken + 100


def test_where_every_port_is_taken_the_sentence_names_them(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "DEFAULT_PORTS", range(taken, taken + 1))
    with pytest.raises(Refusal, match=f"all ports from {taken} to {taken} are taken"):
        free_port(None, None)


def test_a_port_that_was_asked_for_is_not_changed(taken: int) -> None:
    with pytest.raises(Refusal, match=f"port {taken}: it is taken; try another --port"):
        free_port(None, taken)


@pytest.mark.parametrize(
    ("host", "said"), [("192.0.2.1", "no such address"), ("nobody.invalid", "no machine is called so")]
)
def test_a_host_that_is_not_of_this_machine_is_said(host: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        free_port(host, None)


def test_a_machine_too_busy_to_see_its_own_page_serves_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(networking, "url_ok", lambda url: False)  # what gradio finds after 3 s of waiting
    page = small()
    try:
        address = launch(page, wait=False)
        assert urllib.request.urlopen(address).status == 200
    finally:
        page.close()


def test_a_server_that_does_not_come_up_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise OSError("Cannot find empty port in range")

    monkeypatch.setattr(http_server, "start_server", late)
    with pytest.raises(Refusal, match="too busy"):
        launch(small(), wait=False)


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> list[App]:
    """Every web app that gradio makes."""
    create, made = App.create_app, []

    def counted(*given: object, **named: object) -> App:
        made.append(create(*given, **named))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(App, "create_app", staticmethod(counted))
    return made


def test_the_web_app_is_made_once_and_it_is_the_one_that_serves(apps: list[App]) -> None:
    page = small()
    assert (page.app, apps) == (None, [])
    try:
        launch(page, wait=False)
        assert apps == [page.app]
    finally:
        page.close()


def test_gradio_is_left_as_it_was_also_after_an_error() -> None:
    made = App.create_app
    small()
    assert App.create_app is made
    with pytest.raises(ZeroDivisionError):
        build_without_apps(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert App.create_app is made


def test_a_gradio_that_asks_the_app_something_gets_one_and_the_log_says_so(
    apps: list[App], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave = gr.Blocks.__exit__

    def otherwise(self: gr.Blocks, *error: object) -> None:
        leave(self, *error)  # type: ignore[arg-type]
        self.app.openapi()

    monkeypatch.setattr(gr.Blocks, "__exit__", otherwise)
    page = small()
    assert apps
    assert page.app is apps[-1]
    (said,) = caplog.messages
    assert f"gradio {gr.__version__} makes its web app in a way that is not known here" in said
    assert "openapi" in said


def test_a_gradio_that_makes_its_app_elsewhere_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = small()
    monkeypatch.delattr(App, "create_app")
    assert build_without_apps(lambda: page) is page
    assert "App.create_app is gone" in caplog.text


def _interruptible() -> None:
    """What a shell runs in the background ignores interrupts, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_entry_takes_the_next_port_and_never_shows_a_traceback(taken: int) -> None:
    env = {**os.environ, "GRADIO_SERVER_PORT": str(taken), "PYTHONUNBUFFERED": "1"}
    program = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_interruptible,
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        address = line.split()[-1]
        assert line.startswith("The page is at http://127.0.0.1:")
        assert str(taken) not in address
        assert urllib.request.urlopen(address).status == 200
    finally:
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=120)
    assert "Traceback" not in errors


def test_the_entry_says_in_a_sentence_that_no_port_is_free(taken: int) -> None:
    env = {**os.environ, "GRADIO_SERVER_PORT": str(taken), "GRADIO_NUM_PORTS": "1"}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    assert done.stderr.startswith("cannot listen on 127.0.0.1: all ports")
    assert "Traceback" not in done.stderr
