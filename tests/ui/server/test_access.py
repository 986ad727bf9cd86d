"""A page answers to its own names, tells browsers what they may not do, and errors take one line."""

import json
import logging
from collections.abc import Iterator

import pytest

from sd3demo.errors import Refusal
from sd3demo.ui import Core
from sd3demo.ui.server import access, run_log
from tests.ui.fake_page import Rehearsal, serving
from tests.ui.server.pages import ask

BAD = (None, {}, [], "x", 1e99, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Core(("tiny",), Rehearsal().run)) as address:
        yield address


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_a_page_of_this_machine_answers_to_its_names(host: str, address: str) -> None:
    assert ask(address, "/healthz", Host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""])
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/healthz"])
def test_a_foreign_name_is_refused_and_its_origin_not_echoed(host: str, path: str, address: str) -> None:
    reply = ask(address, path, Host=host, Origin=f"http://{host}")
    assert reply.status == 400
    assert "access-control-allow-origin" not in reply.headers
    assert reply.text == "Invalid host header"


@pytest.mark.parametrize(
    ("host", "named", "allowed"),
    [
        (None, (), {"localhost", "127.0.0.1", "[::1]"}),
        ("0.0.0.0", (), {"*"}),
        ("0.0.0.0", ("demo.example.org",), {"demo.example.org", "localhost"}),
        ("10.0.0.5", ("demo.example.org",), {"demo.example.org", "10.0.0.5"}),
    ],
)
def test_the_names_follow_the_address(host: str | None, named: tuple, allowed: set) -> None:
    found = set(access.allowed_hosts(host, named))
    assert allowed <= found
    assert ("*" in found) is (allowed == {"*"})


def test_a_space_answers_to_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "somebody-sd3demo.hf.space")
    assert "somebody-sd3demo.hf.space" in access.allowed_hosts(None)


@pytest.mark.parametrize("text", ["http://a.example", "a.example:80", "a b", "*", "a.*"])
def test_what_is_no_name_of_a_machine_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match=r"allowed_hosts holds .*; give names without scheme and port"):
        access.parse_hosts(text)
    assert access.parse_hosts(" a.example, *.b.example ,") == ("a.example", "*.b.example")


@pytest.mark.parametrize("path", ["/", "/config", "/healthz", "/nothing", "/gradio_api/file=/etc/passwd"])
def test_every_answer_tells_the_browser_what_it_may_not_do(path: str, address: str) -> None:
    headers = ask(address, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == "frame-ancestors 'self'"


def test_a_space_may_be_framed_by_the_hub_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "somebody/sd3demo")
    headers = access.security_headers()
    assert "https://huggingface.co" in headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in headers  # which would keep the Hub out as well


def test_bad_input_to_any_function_is_a_line_and_never_a_traceback(
    address: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, run_log.log.name)
    functions = ask(address, "/config").json["dependencies"]
    assert len(functions) > 50
    answers = set()
    for number, function in enumerate(functions):
        value = BAD[number % len(BAD)]
        data = [value] * len(function["inputs"])
        asked = {"fn_index": function["id"], "data": data, "session_hash": "abc"}
        reply = ask(address, "/gradio_api/run/predict", asked)
        answers.add(reply.status)
        assert "Traceback" not in reply.text
    for wrong in ({"fn_index": 99999, "data": []}, {"fn_index": -1, "data": []}, {"data": 3}):
        assert ask(address, "/gradio_api/run/predict", wrong).status >= 400
    assert answers <= {200, 404, 500}
    assert "Traceback" not in caplog.text
    assert "Traceback" not in "".join(capfd.readouterr())
    lines = [json.loads(record.message) for record in caplog.records if record.name == run_log.log.name]
    assert {"refusal"} <= {line["event"] for line in lines}
    assert all({"time", "visitor", "reason", "sentence"} <= set(line) for line in lines)
    assert not [line for line in lines if "127.0.0.1" in line["visitor"]]
