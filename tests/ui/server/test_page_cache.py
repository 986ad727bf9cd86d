"""The page is written out once for all visitors who get the same, and anew for those who get another."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from sd3demo.ui import Core
from sd3demo.ui.server.gzip import PAGES
from sd3demo.ui.server.page_cache import MOST, PageCache
from tests.ui.fake_page import Rehearsal, serving, write_model


class Counting:
    """An app that says how often it was asked, and where it lies by the visitor's headers."""

    def __init__(self, status: int = 200) -> None:
        self.asked = 0
        self.status = status
        routes = [Route(path, self.answer, methods=["GET", "HEAD"]) for path in (*PAGES, "/other")]
        self.client = TestClient(Starlette(routes=routes, middleware=[Middleware(PageCache)]))

    def answer(self, request: Request) -> PlainTextResponse:
        self.asked += 1
        return PlainTextResponse(f"{self.asked} {request.url}", self.status, {"X-Mine": "1"})

    def get(self, path: str = "/", **headers: str) -> str:
        return self.client.get(path, headers={key.replace("_", "-"): at for key, at in headers.items()}).text


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = write_model(tmp_path_factory.mktemp("kept") / "model")
    with serving(Core((str(model),), Rehearsal().run)) as address:
        yield address


@pytest.mark.parametrize("path", PAGES)
def test_the_second_visitor_gets_what_the_first_one_got(path: str) -> None:
    app = Counting()
    assert app.get(path) == app.get(path) == app.get(f"{path}?__theme=dark")
    assert app.asked == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "other.example"},
        {"x_forwarded_host": "other.example"},
        {"x_forwarded_proto": "https"},
        {"x_gradio_server": "http://other.example"},
        {"accept_encoding": "identity"},
    ],
)
def test_who_finds_the_page_elsewhere_gets_their_own(headers: dict[str, str]) -> None:
    app = Counting()
    app.get()
    app.get(**headers)
    assert app.asked == 2
    app.get()
    app.get(**headers)
    assert app.asked == 2


@pytest.mark.parametrize("query", ["deep_link=a", "all_endpoints=true", "page=x", "page="])
def test_what_gradio_answers_otherwise_is_not_kept(query: str) -> None:
    app = Counting()
    for _ in range(2):
        app.get(f"/?{query}")
    assert app.asked == 2


def test_other_paths_methods_and_errors_are_not_kept() -> None:
    app = Counting()
    app.client.head("/")
    app.client.head("/")
    app.get("/other")
    app.get("/other")
    assert app.asked == 4
    broken = Counting(status=500)
    broken.get()
    broken.get()
    assert broken.asked == 2


def test_so_many_answers_are_kept_and_no_more() -> None:
    app = Counting()
    for number in range(MOST + 1):
        app.get(host=f"{number}.example")
    app.get(host=f"{MOST}.example")
    assert app.asked == MOST + 1
    app.get(host="0.example")
    assert app.asked == MOST + 2


def test_layers_outside_add_their_headers_once() -> None:
    counting = Counting()

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("X-Layer", "1")
            await send(message)

        await counting.client.app(scope, receive, adding)

    client = TestClient(layer)
    answers = [client.get("/") for _ in range(3)]
    assert counting.asked == 1
    assert [answer.headers.get_list("x-layer") for answer in answers] == [["1"]] * 3
    assert [answer.headers["x-mine"] for answer in answers] == ["1"] * 3


@pytest.mark.parametrize("path", PAGES)
def test_the_real_page_is_the_same_each_time_and_says_where_it_is(address: str, path: str) -> None:
    pages = [httpx.get(address + path[1:]) for _ in range(2)]
    assert pages[0].content == pages[1].content
    assert {**pages[0].headers, "date": ""} == {**pages[1].headers, "date": ""}
    assert address.rstrip("/") in pages[0].text
    elsewhere = httpx.get(address + path[1:], headers={"x-forwarded-host": "other.example"})
    assert "http://other.example" in elsewhere.text
    assert address.rstrip("/") not in elsewhere.text
