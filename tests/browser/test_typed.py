"""Numbers typed beside a slider reach the settings as they were typed, whatever the slider's ends."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.tabs import open_tab

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("tab", "field", "button", "status"),
    [
        ("Generate", "#set-steps", "#generate", "#status"),
        ("Trajectories", "#path-steps", "#path-generate", "#path-status"),
    ],
)
def test_a_number_past_the_slider_gets_a_sentence_and_no_run(
    tab: str, field: str, button: str, status: str, page: Page
) -> None:
    open_tab(page, tab)
    if tab == "Generate":
        page.fill("#ask textarea", "a red circle")
    box = page.locator(f"{field} input[type=number]")
    for typed in ("0", "101"):
        box.fill(typed)
        page.click(button)
        expect(page.locator(status)).to_contain_text(f"Steps is {typed}; it must lie in [1, 100]")
        expect(box).to_have_value(typed)


@pytest.mark.smoke
def test_a_value_past_the_sliders_end_that_is_allowed_is_used(page: Page) -> None:
    """Sliders end where people drag; the bounds of a setting may be wider."""
    page.fill("#ask textarea", "a red circle")
    page.locator("#set-cfg input[type=number]").fill("20")
    page.locator("#set-steps input[type=number]").fill("2")
    page.click("#generate")
    expect(page.locator("#story")).to_contain_text("CFG scale 20")
