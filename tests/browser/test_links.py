"""A link opens the page exactly as it stood: studies, grid, shape, film and attention, on both screens."""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

LONG = 120_000  # milliseconds: plotly comes in with the first chart


@pytest.fixture
def page(blank: Page) -> Page:
    return blank


def at(page: Page, address: str, fragment: str) -> None:
    """A link followed from outside: the page is loaded anew."""
    page.goto("about:blank")
    page.goto(address + fragment)


def test_the_grid_and_its_sides_and_the_box_for_seeds_are_in_a_link(page: Page, address: str) -> None:
    at(page, address, "#/generate?grid=true&grid_x=shift&grid_across=1,+3&grid_y=nothing&reseed=true")
    expect(page.locator("#grid-run")).to_be_visible()
    expect(page.locator("#grid-across textarea, #grid-across input").first).to_have_value("1, 3")
    expect(page.locator("#grid-down textarea, #grid-down input").first).to_have_value("")
    expect(page.locator("#grid-x input")).to_have_value("Shift")
    expect(page.get_by_label("Random seed for each run")).to_be_checked()
    page.locator("#grid button").first.click()
    expect(page.locator("#grid-run")).to_be_hidden()
    page.click("#copy-link")
    expect(page).to_have_url(re.compile(r"\?reseed=true&grid_x=shift"))
    page.locator("#grid button").first.click()
    page.click("#copy-link")
    expect(page).to_have_url(re.compile("grid=true"))
    expect(page.locator("#grid-run")).to_be_visible()


def test_the_shape_follows_the_sides_of_a_link_and_a_side_too_long_is_refused(
    page: Page, address: str
) -> None:
    at(page, address, "#/generate?width=128&height=64")
    page.locator("#set button.label-wrap", has_text="Size and batch").click()
    expect(page.locator("#set-width input[type=number]")).to_have_value("128")
    expect(page.locator("#shape input")).to_have_value("128 x 64")
    at(page, address, "#/generate?width=8192&steps=3")
    expect(page.locator("#notice")).to_contain_text("Width is 8192; ")
    page.locator("#set button.label-wrap", has_text="Size and batch").click()
    expect(page.locator("#set-steps input[type=number]")).to_have_value("3")
    expect(page.locator("#set-width input[type=number]")).to_have_value("64")
    expect(page.locator("#shape input")).to_have_value("1:1 · 64 × 64")


def test_a_study_of_a_sub_tab_opens_with_its_settings_and_keeps_its_address(page: Page, address: str) -> None:
    at(page, address, "#/trajectories?study=few-steps&few-steps=n:7;budgets:4, 8&path-length=seed:3")
    expect(page.locator("#set-few-steps-n input[type=number]")).to_have_value("7")
    expect(page.locator("#set-few-steps-budgets :is(input, textarea)")).to_have_value("4, 8")
    page.locator("#study-tab-path-length-button").click()
    expect(page.locator("#set-path-length-seed input").first).to_have_value("3")
    page.locator("button.label-wrap:visible", has_text="More settings").click()
    page.locator("#set-path-length-seed input").first.fill("5")
    expect(page).to_have_url(re.compile("trajectories\\?path-length=seed:5&few-steps="))
    page.evaluate("location.hash = '#/trajectories?path-length=seed:9;n:5000'")
    expect(page.locator("#set-path-length-seed input").first).to_have_value("9")
    expect(page.locator("#study-path-length-status")).to_contain_text("5000")


@pytest.mark.parametrize(
    ("tab", "study", "setting"), [("score", "score-cfg", "exam_seed"), ("extrapolate", "imax-scale", "seed")]
)
def test_studies_of_the_other_tabs_open_too(
    page: Page, address: str, tab: str, study: str, setting: str
) -> None:
    at(page, address, f"#/{tab}?study={study}&{study}={setting}:4")
    field = page.locator(f"#set-{study}-{setting.replace('_', '-')} input").first
    expect(field).to_have_value("4", timeout=LONG)


def test_the_film_and_the_attention_open_as_they_were_looked_at(page: Page, address: str) -> None:
    at(page, address, "#/trajectories?recorded=without-guidance&compared=false&t=0.2")
    expect(page.locator(".film output")).to_contain_text("t = 0.2", timeout=LONG)
    expect(page.get_by_label("Overlay the previous run")).not_to_be_checked()
    page.locator(".chips button").nth(2).click()
    step = page.locator(".attention input[name=step]")
    step.focus()
    step.press("Home")
    page.locator(".film input").focus()
    page.locator(".film input").press("Home")
    expect(page).to_have_url(re.compile("compared=false&t=1&attention="))
    expect(page).to_have_url(re.compile(r"attention=1,\d+,2,-1"))
    told = page.locator(".attention .said").inner_text()
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".film output")).to_contain_text("t = 1.00", timeout=LONG)
    expect(page.locator(".chips button").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".attention .said")).to_have_text(told)
