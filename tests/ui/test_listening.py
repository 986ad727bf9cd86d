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
from sd3demo.ui import launch, listening
from sd3demo.ui.listening import free_port, no_app_yet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def small() -> gr.Blocks:
    with no_app_yet(), gr.Blocks(analytics_enabled=False) as page:
        gr.HTML("here")
    return page


def test_without_a_port_the_next_free_one_is_taken(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "INITIAL_PORT_VALUE", taken)
    assert taken < free_port(None, None) < taken + 100


def test_where_every_port_is_taken_the_sentence_names_them(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "INITIAL_PORT_VALUE", taken)
    monkeypatch.setattr(listening, "TRY_NUM_PORTS", 1)
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


def test_the_web_app_is_made_once_and_after_that_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    made = App.create_app
    page = small()
    assert page.app is None
    assert App.create_app is made
    with pytest.raises(RuntimeError), no_app_yet():
        raise RuntimeError
    assert App.create_app is made


def test_the_entry_takes_the_next_port_and_never_shows_a_traceback(taken: int) -> None:
    env = {**os.environ, "GRADIO_SERVER_PORT": str(taken), "PYTHONUNBUFFERED": "1"}
    program = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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
