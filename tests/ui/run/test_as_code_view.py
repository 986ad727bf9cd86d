"""A result as code under it: everything as text, and the address of the page that the visitor sees."""

import base64
import re
from types import SimpleNamespace

import nbformat
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.settings import Request, Resolved, parse
from sd3demo.studies.grid.grid_plan import Grid, axis
from sd3demo.studies.study import find_study
from sd3demo.ui.api.client_code import ADDRESS
from sd3demo.ui.run import as_code_view
from sd3demo.ui.run.as_code_view import (
    as_code_html,
    grid_as_code_html,
    page_address,
    study_as_code_html,
)

HTML = "<img src=x onerror=alert(1)> \"q\" 'single' </code>"


def requested(prompt: str = "a red circle") -> Resolved:
    return plan(parse(Request, {"prompt": prompt, "model": "tiny"}), find("tiny"), Budget()).request


def test_a_run_is_shown_in_four_ways() -> None:
    html = as_code_html(requested(), noise_sha256="0" * 64)
    titles = re.findall("<h3>(.*?)</h3>", html)
    assert titles == ["Command line", "Python", "This page, by gradio_client"]
    content = re.search('href="data:application/x-ipynb[+]json;base64,([^"]+)"', html)[1]  # type: ignore[index]
    nbformat.validate(nbformat.reads(base64.b64decode(content).decode(), as_version=4))


def test_a_grid_is_shown_in_the_same_four_ways() -> None:
    html = grid_as_code_html(requested(HTML), Grid(axis("cfg=1,2"), axis("steps=2,3")))
    assert re.findall("<h3>(.*?)</h3>", html) == ["Command line", "Python", "This page, by gradio_client"]
    assert "<img" not in html
    content = re.search('href="data:application/x-ipynb[+]json;base64,([^"]+)"', html)[1]  # type: ignore[index]
    document = nbformat.reads(base64.b64decode(content).decode(), as_version=4)
    nbformat.validate(document)
    assert 'download="sd3demo-grid.ipynb"' in html
    compile(document.cells[1].source, "cell", "exec")


def test_a_prompt_is_never_html() -> None:
    html = as_code_html(requested(HTML))
    assert "<img" not in html
    assert html.count("</code>") == 3


def test_a_study_is_shown_as_code() -> None:
    html = study_as_code_html("path-length", parse(find_study("path-length").settings, {"n": 3}))
    assert "sd3demo study path-length --n 3" in html
    assert 'download="sd3demo-path-length.ipynb"' in html


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (None, ADDRESS),
        ({}, ADDRESS),
        ({"host": "localhost:9000"}, "http://localhost:9000/"),
        ({"host": "me.hf.space", "x-forwarded-proto": "https"}, "https://me.hf.space/"),
        ({"host": "');import os#"}, "http://');import os#/"),
    ],
)
def test_the_address_is_that_of_the_page(
    headers: dict[str, str] | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = None if headers is None else SimpleNamespace(headers=headers)
    monkeypatch.setattr(as_code_view, "current_request", lambda: call)
    assert page_address() == address
    if "import os" in address:  # it stays a text, whatever a client says of itself
        assert "client = Client(&quot;http://&#x27;);import os#/&quot;)" in as_code_html(requested())
