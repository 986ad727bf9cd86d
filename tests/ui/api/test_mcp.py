"""The endpoints as tools for an agent, over HTTP: what README.md promises with the `mcp` extra."""

import json
import urllib.request
from collections.abc import Iterator

import gradio as gr
import pytest

from sd3demo.errors import Refusal
from sd3demo.ui import Core, launch
from sd3demo.ui.server import ports as listening
from tests.ui.api.test_endpoints import PUBLIC
from tests.ui.fake_page import Rehearsal, serving


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    with serving(Core(("tiny",), Rehearsal().run)) as address:
        yield address


def answer(address: str, method: str, **params: object) -> dict:
    """What the tool server answers to one request of the protocol."""
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"{address.rstrip('/')}/gradio_api/mcp/", asked, headers)
    with urllib.request.urlopen(request, timeout=300) as reply:
        lines = reply.read().decode().splitlines()
    (told,) = (line.removeprefix("data: ") for line in lines if line.startswith("data: "))
    return json.loads(told)["result"]


def test_each_public_endpoint_is_a_tool_with_a_sentence_for_each_argument(address: str) -> None:
    tools = {tool["name"]: tool for tool in answer(address, "tools/list")["tools"]}
    assert set(tools) == {name.removeprefix("/") for name in PUBLIC}
    for tool in tools.values():
        assert tool["description"]
        for name, argument in tool["inputSchema"]["properties"].items():
            assert argument.get("description"), f"{tool['name']} says nothing of {name}"


def test_a_tool_answers(address: str) -> None:
    arguments = {"num_inference_steps": 8, "guidance_scale": 4}
    told = answer(address, "tools/call", name="plan", arguments=arguments)
    assert not told["isError"]
    assert "seconds" in told["content"][0]["text"]


def test_without_the_package_there_is_a_sentence_and_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    monkeypatch.setattr(listening, "find_spec", lambda name: None)
    with pytest.raises(
        Refusal, match=r"GRADIO_MCP_SERVER is True, and the package mcp is not installed; try"
    ):
        launch(gr.Blocks(analytics_enabled=False), wait=False)
