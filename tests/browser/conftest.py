"""Chromium on two sizes of screen, over a page whose runs are made up: what is tested is the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from sd3demo.ui import Core
from tests.ui.fake_page import Rehearsal, serving, write_model

SCREENS = {"desktop": {"width": 1366, "height": 768}, "phone": {"width": 360, "height": 740}}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 60_000  # milliseconds: how long a busy machine may take; what is ready sooner waits no longer


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the phone's screen for tests that are marked so: most of a page's logic knows no screen.

    `make test` has the smoke tests, on a desktop's screen: a page takes seconds to open. All others are slow.
    What fails is run once more, and named at the end of the run (tests/conftest.py): a wait to be mended.
    """
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    twice = [item for item in here if _screen(item) == "phone" and not item.get_closest_marker("phone")]
    config.hook.pytest_deselected(items=twice)
    items[:] = [item for item in items if item not in set(twice)]
    for item in here:
        if not item.get_closest_marker("smoke") or _screen(item) == "phone":
            item.add_marker(pytest.mark.slow)
    if config.pluginmanager.hasplugin("rerunfailures"):
        for item in here:
            item.add_marker(pytest.mark.flaky(reruns=1))


def _screen(item: pytest.Item) -> str:
    spec = getattr(item, "callspec", None)
    return spec.params.get("screen", "") if spec else ""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def rehearsal() -> Rehearsal:
    return Rehearsal(seconds=0.01)


@pytest.fixture(scope="session")
def address(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = write_model(tmp_path_factory.mktemp("page") / "model")
    with serving(Core((str(model), "sd3-medium"), rehearsal.run)) as address:
        yield address


@pytest.fixture(scope="session", params=SCREENS)
def screen(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def context(screen: str, browser: Browser) -> Iterator[BrowserContext]:
    with on_screen(browser, screen) as context:
        yield context


@pytest.fixture
def blank(context: BrowserContext, address: str) -> Iterator[Page]:
    """A page that nothing was opened in yet."""
    with watched(context, address) as page:
        yield page


@pytest.fixture
def page(blank: Page, address: str) -> Page:
    """The page, opened anew."""
    return opened(blank, address)


@pytest.fixture(scope="module")
def lasting(screen: str, browser: Browser, address: str) -> Iterator[Page]:
    """One page for all tests of a file that take it as they find it, since to open it takes its time."""
    with on_screen(browser, screen) as context, watched(context, address) as page:
        yield opened(page, address)


@contextmanager
def on_screen(browser: Browser, screen: str) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=SCREENS[screen], has_touch=screen == "phone")
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    page.wait_for_selector("#generate")
    return page


@contextmanager
def watched(context: BrowserContext, address: str) -> Iterator[Page]:
    """A page that must have asked nobody else at the end, and complained of nothing."""
    page = context.new_page()
    outside: list[str] = []
    errors: list[str] = []
    page.on("request", lambda sent: _note(sent.url, address, outside))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert outside == []
    assert errors == []


def _note(url: str, address: str, outside: list[str]) -> None:
    if not url.startswith((address, "data:", "blob:")):
        outside.append(url)
