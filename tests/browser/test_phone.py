"""The page on a phone: every tab is a few screens long, and what it folds away opens at a press."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from sd3demo.ui.app import TABS
from tests.browser.conftest import PATIENCE, opened, watched
from tests.browser.tabs import open_tab
from tests.browser.test_axe import SETTLED

pytestmark = pytest.mark.browser

LONGEST = 4000
"""Pixels: about five screens."""
SHOWN = {"Extrapolate": "#large-cards figure", "Claims": "#claims tbody tr", "Trajectories": ".film canvas"}
"""What comes after a tab was opened, and makes it longer."""


@pytest.fixture(scope="module")
def phone(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    context.set_default_timeout(PATIENCE)
    with watched(context, address) as page:
        yield opened(page, address)
    context.close()


def test_every_tab_is_short_with_results_on_it(phone: Page) -> None:
    phone.locator("#set-prompt textarea").fill("a red circle")
    phone.click("#generate")
    phone.wait_for_selector("#status .done")
    heights: dict[str, int] = {}
    for title, _ in TABS:
        open_tab(phone, title)
        if title in SHOWN:
            phone.wait_for_selector(SHOWN[title])
        phone.evaluate(SETTLED, title != "Flow lab")
        heights[title] = phone.evaluate("document.documentElement.scrollHeight")
    assert {title: height for title, height in heights.items() if height >= LONGEST} == {}


def test_a_section_opens_at_a_press_with_its_plots_and_closes_again(phone: Page) -> None:
    open_tab(phone, "Densities")
    heading = phone.get_by_role("button", name="Shift", exact=True)
    plot = phone.locator("#plot-shifted .js-plotly-plot")
    expect(heading).to_have_attribute("aria-expanded", "false")
    expect(plot).to_be_hidden()
    heading.press("Enter")
    expect(heading).to_have_attribute("aria-expanded", "true")
    expect(plot).to_be_visible()
    width = plot.locator(".main-svg").first.evaluate("svg => svg.getBoundingClientRect().width")
    assert 300 < width <= 390
    heading.press("Enter")
    expect(plot).to_be_hidden()
