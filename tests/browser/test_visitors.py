"""Several visitors at a real server: their place in the line, and a closed tab that ends a real run."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from sd3demo.engine import Plan
from sd3demo.engine.events import Event, StepDone
from sd3demo.ui import Core, core
from tests.ui.fake_page import events, serving, write_model

pytestmark = pytest.mark.browser

FIRST = 120_000  # milliseconds: torch and diffusers come in with the first picture


def ask(page: Page, address: str, prompt: str) -> None:
    page.goto(address)
    page.wait_for_selector("#generate")
    page.locator("#set-prompt textarea").fill(prompt)
    page.click("#generate")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Runs wait at their first step until this is set."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def held(gate: threading.Event, tmp_path: Path) -> Iterator[str]:
    def run(plan: Plan) -> Iterator[Event]:
        for event in events(plan):
            yield event
            if isinstance(event, StepDone):
                gate.wait(timeout=600)

    with serving(Core((str(write_model(tmp_path / "model")),), run)) as address:
        yield address


@pytest.fixture
def visitors(browser: Browser, context: BrowserContext) -> Iterator[list[Page]]:
    """Three people. A browser has six connections to a server, and a page that runs holds two of them."""
    size = context.new_page().viewport_size
    contexts = [browser.new_context(viewport=size) for _ in range(3)]
    for one in contexts:
        one.set_default_timeout(FIRST)
    yield [one.new_page() for one in contexts]
    for one in contexts:
        one.close()


def test_who_waits_sees_how_many_are_before(visitors: list[Page], held: str, gate: threading.Event) -> None:
    first, second, third = visitors
    ask(first, held, "first")
    expect(first.locator("#status")).to_contain_text("Step 1 of")
    ask(second, held, "second")
    expect(second.locator("#status")).to_contain_text("In the queue: one run before it")
    ask(third, held, "third")
    expect(third.locator("#status")).to_contain_text("In the queue: 2 runs before it")
    second.click("#stop")
    expect(second.locator("#status")).to_contain_text("did not start")
    expect(third.locator("#status")).to_contain_text("In the queue: one run before it")
    gate.set()
    expect(third.locator("#pictures img")).to_have_attribute("alt", "Picture for: third")
    expect(first.locator("#pictures img")).to_have_attribute("alt", "Picture for: first")


@pytest.fixture(scope="module")
def ended() -> list[int]:
    """Steps that each run of the real engine made before it ended."""
    return []


@pytest.fixture(scope="module")
def real(checkpoint: Callable[..., Path], ended: list[int]) -> Iterator[str]:
    whole = core((str(checkpoint("sd3-medium")),))

    def run(plan: Plan) -> Iterator[Event]:
        steps, news = 0, whole.run(plan)
        try:
            for event in news:
                steps += isinstance(event, StepDone)
                yield event
                while plan.request.prompt == "mine" and steps == 3:  # goes on only if it is not stopped
                    yield event
                    time.sleep(0.02)
        finally:
            news.close()
            ended.append(steps)

    with serving(replace(whole, run=run)) as address:
        yield address


@pytest.mark.smoke
def test_a_closed_tab_ends_the_real_run_and_the_next_visitor_is_served(
    context: BrowserContext, real: str, ended: list[int]
) -> None:
    before = len(ended)
    tab, other = context.new_page(), context.new_page()
    tab.goto(f"{real}#/generate?steps=100&prompt=mine")
    expect(tab.locator("#set-prompt textarea")).to_have_value("mine")
    tab.click("#generate")
    expect(tab.locator("#status")).to_contain_text("Step ", timeout=FIRST)
    seen = int(re.search(r"Step (\d+)", tab.inner_text("#status"))[1])
    tab.close()
    other.goto(f"{real}#/generate?steps=2&prompt=theirs")
    expect(other.locator("#set-prompt textarea")).to_have_value("theirs")
    other.click("#generate")
    expect(other.locator("#status")).to_contain_text("Done in", timeout=FIRST)
    assert len(ended) == before + 2
    assert seen <= ended[before] < 100
    assert ended[before + 1] == 2
