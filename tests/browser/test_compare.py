"""Pictures pinned and compared, by mouse and by keys; one result, whatever happens; a press that waits."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.tabs import drop
from tests.browser.test_axe import SETTLED, violations
from tests.browser.test_generate import PROMPT_BOX, ask, until_done, until_step
from tests.ui.fake_page import Rehearsal, at_step, nowhere

pytestmark = pytest.mark.browser

STEPS = "#set-steps input[type=number]"
SEED = "#set-seed input"


def generate(page: Page, prompt: str, seed: int) -> None:
    page.locator(SEED).fill(str(seed))
    ask(page, prompt)
    expect(page.locator("#pictures .picture img").first).to_have_attribute("alt", f"Picture for: {prompt}")
    until_done(page)


def pin(page: Page) -> None:
    page.locator("#pictures button[data-picture=pin]").click()
    expect(page.locator("#pictures button[data-picture=pin]")).to_have_attribute("aria-pressed", "true")


@pytest.mark.phone
def test_two_pinned_pictures_lie_on_one_another_and_keys_alone_compare_them(page: Page) -> None:
    generate(page, "one", 1)
    pin(page)
    expect(page.locator(".tray-bar [data-act=open].act")).to_be_disabled()
    generate(page, "two", 90)
    pin(page)
    page.locator(".tray-bar [data-act=open].act").press("Enter")
    room = page.get_by_role("dialog", name="Compare")
    expect(room).to_be_visible()
    rows = room.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [["Prompt", "one", "two"], ["Seed", "1", "90"]]

    stage = room.locator(".stage")
    stage.focus()
    before = room.locator(".over").evaluate("layer => getComputedStyle(layer).clipPath")
    stage.press("ArrowLeft")
    assert room.locator(".over").evaluate("layer => getComputedStyle(layer).clipPath") != before
    room.get_by_role("button", name="Difference map").press("Enter")
    expect(room.locator(".map img")).to_be_visible()
    expect(room.locator(".map figcaption")).to_contain_text("100% of the pixels differ")
    room.get_by_role("button", name="Side by side").press("Enter")
    expect(room.locator(".beside img")).to_have_count(2)
    page.evaluate(AXE_SCRIPT)
    page.evaluate(SETTLED, False)
    assert violations(page) == []

    page.keyboard.press("Escape")
    expect(room).to_be_hidden()
    page.locator(".tray-bar .out").first.press("Enter")
    expect(page.locator(".tray-bar .thumb")).to_have_count(1)


def test_a_picture_fills_the_screen_and_arrows_go_to_the_next(page: Page) -> None:
    page.get_by_role("button", name="Size and batch").click()
    page.locator("#set-count input[type=number]").fill("2")
    page.locator("#set-count input[type=number]").press("Tab")
    generate(page, "two of them", 1)
    page.locator("#pictures button[data-picture=full]").first.click()
    dialog = page.locator("#full-screen")
    expect(dialog.locator("img")).to_be_visible()
    first = dialog.locator("img").get_attribute("src") or ""
    expect(dialog).to_contain_text("1 of 2")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("2 of 2")
    expect(dialog.locator("img")).not_to_have_attribute("src", first)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.smoke
def test_a_twin_runs_with_one_press_and_lands_beside_its_original(page: Page) -> None:
    generate(page, "one", 3)
    page.locator("#pictures").get_by_role("button", name="CFG 1").click()
    room = page.get_by_role("dialog", name="Compare")
    expect(room).to_be_visible()
    expect(room.locator(".which").first).to_contain_text("A: CFG scale")
    expect(room.locator(".which.right")).to_have_text("B: CFG scale 1")
    expect(room.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#pictures .since")).to_contain_text(re.compile("One change: CFG scale .* → 1"))
    assert page.locator(PROMPT_BOX).input_value() == "one"


def test_after_an_edit_the_result_says_so_and_after_a_drop_the_picture_is_the_dropped_one(
    page: Page, tmp_path: Path
) -> None:
    generate(page, "one", 3)
    since = page.locator("#pictures .since")
    expect(since).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_text("Download PNG").click()
    download.value.save_as(file := tmp_path / "home.png")
    page.locator(STEPS).fill("4")
    page.locator(STEPS).press("Tab")
    expect(since).to_be_visible()
    page.locator(STEPS).fill("28")
    page.locator(STEPS).press("Tab")
    expect(since).to_be_hidden()
    generate(page, "two", 4)
    drop(page, file)
    expect(page.locator("#pictures .picture img").first).to_have_attribute("alt", "Picture for: one")
    expect(page.locator("#story")).to_contain_text("From the file home.png")
    expect(page.locator(SEED)).to_have_value("3")
    expect(since).to_be_hidden()


def test_a_second_press_waits_in_the_queue_with_the_settings_of_its_moment(
    page: Page, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "hold", at_step(2))
    ask(page, "one")
    until_step(page, 2)
    ask(page, "two")
    expect(page.locator("#status .behind")).to_have_text("Next in the queue: 1. two")
    page.locator(PROMPT_BOX).fill("three")
    monkeypatch.setattr(rehearsal, "hold", nowhere)
    expect(page.locator("#pictures .picture img").first).to_have_attribute("alt", "Picture for: two")
    expect(page.locator("#status .done")).to_contain_text("Done")
    assert page.locator(PROMPT_BOX).input_value() == "three"


def test_a_link_to_a_picture_that_was_not_made_says_so_and_one_that_was_shows_it(page: Page) -> None:
    generate(page, "one", 3)
    link = page.evaluate("location.hash")
    page.evaluate("sd3demo.open('#/generate?prompt=another&seed=5')")
    expect(page.locator("#pictures")).to_contain_text("Not generated yet")
    expect(page.locator("#story")).to_contain_text("“another”")
    page.evaluate("link => sd3demo.open(link)", link)
    expect(page.locator("#pictures .picture img").first).to_have_attribute("alt", "Picture for: one")
