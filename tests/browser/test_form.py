"""The form of the Generate tab, on a desktop and on a phone: what it refuses, greys out and fills in."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.tabs import drop

pytestmark = pytest.mark.browser

PROMPT = "a red circle above a blue square"
PROMPT_BOX = "#set-prompt textarea"


@pytest.fixture
def page(lasting: Page) -> Page:
    """The page as the test before left it: no picture is made here."""
    return lasting


@pytest.mark.parametrize(
    "field", [PROMPT_BOX, "#set-seed input", "#reseed input", "#set-steps input >> nth=0"]
)
def test_the_field_that_keys_have_reached_is_seen(page: Page, field: str) -> None:
    page.locator(field).focus()
    outline = page.locator(field).evaluate("field => getComputedStyle(field).outline")
    assert "solid 2px" in outline


def test_a_picture_of_no_receipt_is_refused_and_changes_nothing(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "foreign.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    page.locator("#receipt input[type=file]").set_input_files(file)
    expect(page.locator("#status .failed")).to_contain_text("foreign.png")
    drop(page, file)  # there is room for the next one
    expect(page.locator("#status .failed")).to_contain_text("foreign.png")
    assert "/" not in page.inner_text("#status .failed")
    expect(page.locator("#set-steps input[type=number]")).to_have_value("28")


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("#set-seed input", "-1", "Seed is -1; it must lie in [0, 4294967295]."),
        ("#set-seed input", "", "Seed is empty"),
        ("#set-prompt textarea", "a" * 100_000, "Prompt has 100,000 characters"),
        ("#set-prompt textarea", "bell \x07", "Prompt holds the control character U+0007"),
    ],
)
def test_bad_input_is_a_sentence_on_the_page(page: Page, setting: str, value: str, sentence: str) -> None:
    page.locator(PROMPT_BOX).fill(PROMPT)
    page.locator("#set-seed input").fill("0")
    page.locator(setting).fill(value)
    page.click("#generate")
    expect(page.locator("#status .failed")).to_contain_text(sentence)
    assert page.locator("#pictures .recorded").count() == 1  # what stood there still does
    assert page.locator(setting).input_value() == value


@pytest.mark.smoke
def test_an_unknown_word_is_marked_and_replaced_by_a_click(page: Page) -> None:
    page.locator(PROMPT_BOX).fill("a red cirle above a cat")
    note = page.locator("#prompt-note .unread")
    expect(note).to_contain_text("cirle")
    expect(note.locator("mark")).to_have_text(["cirle", "cat"])
    note.get_by_role("button", name="Replace cirle by circle", exact=True).click()
    expect(page.locator(PROMPT_BOX)).to_have_value("a red circle above a cat")
    expect(note.locator("mark")).to_have_text(["cat"])


def test_guidance_of_one_greys_out_what_it_makes_idle(page: Page) -> None:
    page.locator("#set-cfg input[type=number]").fill("1")
    page.get_by_role("button", name=re.compile("^Text")).click()
    expect(page.locator("#set-negative textarea")).to_be_disabled()
    expect(page.locator("#set-negative")).to_contain_text("CFG is off at scale 1")


def test_a_model_that_is_not_here_says_what_to_do(page: Page) -> None:
    page.locator("#set-model input").click()
    page.get_by_role("option", name="sd3-medium (not on this disk)").click()
    expect(page.locator("#prompt-note code").nth(1)).to_contain_text(
        "hf download stabilityai/stable-diffusion-3-medium-diffusers"
    )
    page.get_by_role("button", name="Size and batch").click()
    expect(page.locator("#set-width input[type=number]")).to_have_value("1024")
    page.locator(PROMPT_BOX).fill(PROMPT)
    page.locator("#set-seed input").fill("0")
    page.click("#generate")
    expect(page.locator("#status .failed")).to_contain_text("accept its licence")
