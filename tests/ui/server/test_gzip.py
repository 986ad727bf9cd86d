"""The page goes packed over the line, once, to those who can unpack it; what streams does not."""

import gzip
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from sd3demo.ui import Core
from sd3demo.ui.server.gzip import PAGES, PageGzip
from tests.ui.fake_page import Rehearsal, serving, write_model


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = write_model(tmp_path_factory.mktemp("packed") / "model")
    with serving(Core((str(model),), Rehearsal().run)) as address:
        yield address


@pytest.mark.parametrize("path", PAGES)
def test_the_page_is_packed_for_those_who_can_unpack_it(address: str, path: str) -> None:
    with httpx.stream("GET", address + path[1:], headers={"Accept-Encoding": "gzip"}) as packed:
        sent = b"".join(packed.iter_raw())
    plain = httpx.get(address + path[1:], headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert len(gzip.decompress(sent)) == len(plain.content)
    assert len(sent) < len(plain.content) / 5


def test_what_gradio_packs_is_not_packed_twice(address: str) -> None:
    page = httpx.get(address).text
    script = page.split('src="./assets/')[1].split('"')[0]
    plain = httpx.get(f"{address}assets/{script}", headers={"Accept-Encoding": "identity"})
    packed = httpx.get(f"{address}assets/{script}", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content


def test_nothing_else_is_held_back_or_packed() -> None:
    text = "word " * 1000
    app = PageGzip(Starlette(routes=[Route("/gradio_api/queue/data", lambda _: PlainTextResponse(text))]))
    answer = TestClient(app).get("/gradio_api/queue/data", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.text == text
