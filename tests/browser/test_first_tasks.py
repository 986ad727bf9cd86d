"""What a first visit is for, each task in at most three presses from its tab, at two sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from sd3demo.history import RunStore, read_receipt
from sd3demo.ui import Core
from tests.browser.conftest import PATIENCE, watched
from tests.browser.tabs import open_tab
from tests.ui.fake_page import Rehearsal, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZES = {"desktop": {"width": 1366, "height": 768}, "phone": {"width": 390, "height": 844}}
MOST = 3
"""Presses that a task may take, counted from its tab."""
PROMPT = "a red circle above a blue square"
PICTURE = "#pictures .picture img"


@dataclass
class Visitor:
    """A person at the page, whose presses are counted."""

    page: Page
    address: str
    presses: int = 0

    def at(self, tab: str) -> Page:
        """The page with a tab open and the count at zero."""
        close = self.page.get_by_role("dialog", name="Compare").get_by_role("button", name="Close")
        if close.is_visible():
            close.click()
        open_tab(self.page, tab)
        self.presses = 0
        return self.page

    def press(self, target: Locator) -> None:
        self.presses += 1
        assert self.presses <= MOST
        target.click()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with an embedded model, whose pictures are judged, and a history."""
    store = RunStore(tmp_path_factory.mktemp("tasks") / "runs")
    with serving(Core(("tiny", "tiny-3"), Rehearsal(seconds=0.005).run, store)) as address:
        yield address


@pytest.fixture(scope="module", params=SIZES)
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport=SIZES[request.param],  # type: ignore[arg-type]
        has_touch=request.param == "phone",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture(scope="module")
def visitor(context: BrowserContext, served: str) -> Iterator[Visitor]:
    """One page for all tasks of a size, on which the first of them is done: a picture is there."""
    with watched(context, served) as page:
        page.goto(served)
        page.wait_for_selector("#generate")
        visitor = Visitor(page, served)
        visitor.press(page.locator("#generate"))
        expect(page.locator("#status .done")).to_contain_text("Done")
        yield visitor


def without_t5(visitor: Visitor) -> Locator:
    """The picture beside the same without T5: one press below a picture with it."""
    page = visitor.at("Generate")
    twin = page.locator("#pictures").get_by_role("button", name="Without T5")
    if not twin.is_visible():  # what stands there is the twin of the test before
        page.evaluate(f"sd3demo.open('#/generate?prompt={PROMPT.replace(' ', '+')}')")
    visitor.press(twin)
    room = page.get_by_role("dialog", name="Compare")
    expect(room).to_be_visible()
    return room


def test_make_a_picture(visitor: Visitor) -> None:
    page = visitor.at("Generate")
    visitor.press(page.get_by_role("button", name="Four steps only"))
    expect(page.locator("#set-steps input[type=number]")).to_have_value("4")
    expect(page.locator("#story")).to_contain_text("4 steps")
    expect(page.locator(PICTURE).first).to_have_attribute("alt", f"Picture for: {PROMPT}")


def test_the_same_without_t5(visitor: Visitor) -> None:
    room = without_t5(visitor)
    expect(room.locator(".which").first).to_have_text("A: T5 On")
    expect(room.locator("tbody tr")).to_have_count(1)
    assert visitor.presses == 1


def test_which_of_two_is_better(visitor: Visitor) -> None:
    """The verdict under each of the two says what was asked and whether it is there."""
    room = without_t5(visitor)
    expect(room.locator(".told .obeys")).to_have_count(2)
    for verdict in room.locator(".told .obeys").all():
        expect(verdict).to_contain_text("s asked: ")
        expect(verdict).to_contain_text("red circle")


def test_enlarge_and_why_the_methods_differ(visitor: Visitor) -> None:
    page = visitor.at("Extrapolate")
    cards = page.locator("#large-cards figure")
    expect(cards).to_have_count(5)  # recorded
    visitor.press(page.locator("#large-run"))
    expect(page.locator("#large-status .done")).to_be_visible()
    expect(page.locator("#large-cards a")).to_have_count(4)  # the picture, and three ways to enlarge it
    for why in ("repeats things, or loses them", "edges are soft", "draws its edges anew"):
        expect(page.locator("#large-cards")).to_contain_text(why)
    assert visitor.presses == 1


def test_save_it(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.at("Generate")
    with page.expect_download() as download:
        visitor.press(page.get_by_text("Download PNG").first)
    download.value.save_as(file := tmp_path / "mine.png")
    assert read_receipt(file).request.prompt == PROMPT


def test_send_a_friend_the_link_who_opens_it(visitor: Visitor, browser: Browser) -> None:
    page = visitor.at("Generate")
    visitor.press(page.locator("#copy-link"))
    expect(page.locator("#copied")).to_contain_text("is copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(visitor.address)
    friend = browser.new_context(viewport=page.viewport_size)
    friend.set_default_timeout(PATIENCE)
    with watched(friend, visitor.address) as other:
        other.goto(link)
        expect(other.locator(PICTURE).first).to_have_attribute("alt", f"Picture for: {PROMPT}")
        expect(other.locator("#set-prompt textarea")).to_have_value(PROMPT)
    friend.close()


def test_find_the_picture_of_before(visitor: Visitor) -> None:
    page = visitor.at("History")
    visitor.press(page.locator("#runs button[data-run]").last)
    expect(page.locator("#run-pictures img").first).to_be_visible()
    expect(page.locator("#run-story")).to_contain_text(PROMPT)
