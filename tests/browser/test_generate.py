"""What a person does with the Generate tab, on a desktop and on a phone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sd3demo.history import read_receipt
from tests.browser.tabs import drop, until
from tests.ui.fake_page import Rehearsal, at_step, nowhere

pytestmark = pytest.mark.browser

PROMPT = "a red circle above a blue square"
PROMPT_BOX = "#set-prompt textarea"
HTML = "<img src=x onerror=\"document.title='broken'\"> <b>bold</b>"


def ask(page: Page, prompt: str = PROMPT) -> None:
    page.locator(PROMPT_BOX).fill(prompt)
    page.click("#generate")


def until_step(page: Page, step: int) -> None:
    reached = f"(/Step (\\d+) of/.exec(document.querySelector('#status').innerText) || [0, 0])[1] >= {step}"
    page.wait_for_function(reached)


def until_done(page: Page) -> None:
    page.wait_for_selector("#status .done, #status .failed")


def preview(page: Page) -> str:
    return page.locator("#pictures img").first.get_attribute("src") or ""


@pytest.mark.smoke
@pytest.mark.phone
def test_a_picture_forms_before_ones_eyes_and_can_be_taken_home(
    page: Page, rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "hold", at_step(2))
    ask(page)
    until_step(page, 2)
    expect(page.locator("#pictures img").first).to_be_visible()
    early = preview(page)
    expect(page.locator("#status")).to_contain_text("left")
    monkeypatch.setattr(rehearsal, "hold", at_step(12))
    until_step(page, 12)
    expect(page.locator("#pictures img").first).not_to_have_attribute("src", early)
    monkeypatch.setattr(rehearsal, "hold", nowhere)
    assert page.locator("#pictures .wrap:visible").count() == 0  # nothing lies over the picture
    until_done(page)
    expect(page.locator("#strip li")).to_have_count(8)
    expect(page.locator("#story")).to_contain_text("The path through latent space is 75.0 long")

    shown = page.evaluate(
        "fetch(document.querySelector('#pictures img').src).then(r => r.text()).then(t => t.length)"
    )
    assert shown > 0
    with page.expect_download() as download:
        page.get_by_text("Download PNG").click()
    file = tmp_path / "home.png"
    download.value.save_as(file)
    assert download.value.suggested_filename == "a-red-circle-above-a-blue-square-0.png"
    assert read_receipt(file).request.prompt == PROMPT


@pytest.mark.smoke
def test_the_page_opens_on_a_recorded_run(page: Page) -> None:
    expect(page.locator("#pictures .recorded img")).to_have_attribute("alt", f"Picture for: {PROMPT}")
    expect(page.locator("#pictures .caption")).to_contain_text(f"Recorded: “{PROMPT}”")


@pytest.mark.phone
def test_an_example_fills_the_form_and_runs(page: Page) -> None:
    page.get_by_role("button", name="Four steps only").click()
    expect(page.locator(PROMPT_BOX)).to_have_value(PROMPT)
    expect(page.locator("#set-steps input[type=number]")).to_have_value("4")
    expect(page.locator("#status .done")).to_contain_text("Done")
    expect(page.locator("#pictures .recorded")).to_have_count(0)


def test_an_empty_prompt_runs_the_example_that_the_field_shows(page: Page) -> None:
    page.click("#generate")
    expect(page.locator("#status .done")).to_contain_text("Done")
    expect(page.locator(PROMPT_BOX)).to_have_value(PROMPT)


@pytest.mark.smoke
def test_stop_ends_a_run_at_its_next_step_and_keeps_what_is_seen(
    page: Page, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(rehearsal.ended)
    monkeypatch.setattr(rehearsal, "hold", at_step(4))
    ask(page)
    until_step(page, 4)
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text(re.compile(r"Stopped after step 4"))
    until(page, lambda: len(rehearsal.ended) > before)
    assert rehearsal.ended[before:] == ["closed"]
    expect(page.locator("#status")).to_contain_text(re.compile(r"Stopped after step 4"))
    monkeypatch.setattr(rehearsal, "hold", nowhere)
    assert page.locator(PROMPT_BOX).input_value() == PROMPT
    ask(page)
    expect(page.locator("#status .done")).to_contain_text("Done")


@pytest.mark.parametrize("sent", [True, False], ids=["the run waits", "the run is not sent yet"])
def test_stop_while_waiting_takes_a_visitor_out_of_the_line(
    page: Page, rehearsal: Rehearsal, address: str, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """The second of a press's two requests, the one for its run, may be on its way when Stop is pressed."""
    other = page.context.new_page()
    other.goto(address)
    other.wait_for_selector("#generate")
    monkeypatch.setattr(rehearsal, "hold", at_step(2))
    ask(page, "mine")
    until_step(page, 2)
    before, held = len(rehearsal.ended), []
    if not sent:
        other.route("**/queue/join*", lambda route: held.append(route))
    ask(other, "theirs")
    if sent:
        expect(other.locator("#status")).to_contain_text("one run before it")
    else:
        until(other, lambda: bool(held))
    other.click("#stop")
    expect(other.locator("#status .failed")).to_contain_text("did not start")
    for request in held:
        request.continue_()
    monkeypatch.setattr(rehearsal, "hold", nowhere)
    until_done(page)
    until(page, lambda: len(rehearsal.ended) > before)
    other.unroute_all()
    ask(other, "theirs again")
    expect(other.locator("#pictures .picture img")).to_have_attribute("alt", "Picture for: theirs again")
    assert rehearsal.ended[before:] == ["finished", "finished"]
    other.close()


def test_a_closed_tab_ends_its_run(
    page: Page, rehearsal: Rehearsal, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(rehearsal.ended)
    monkeypatch.setattr(rehearsal, "hold", at_step(2))
    tab = page.context.new_page()
    tab.goto(address)
    ask(tab)
    until_step(tab, 2)
    tab.close()
    until(page, lambda: len(rehearsal.ended) > before)
    assert rehearsal.ended[before:] == ["closed"]


def test_two_visitors_get_their_own_pictures_in_turn(
    page: Page, rehearsal: Rehearsal, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "hold", at_step(1))
    other = page.context.new_page()
    other.goto(address)
    other.wait_for_selector("#generate")
    ask(page, "mine")
    until_step(page, 1)
    ask(other, "theirs")
    expect(other.locator("#status")).to_contain_text("In the queue")
    monkeypatch.setattr(rehearsal, "hold", nowhere)
    until_done(page)
    until_done(other)
    expect(page.locator("#pictures img")).to_have_attribute("alt", "Picture for: mine")
    expect(other.locator("#pictures img")).to_have_attribute("alt", "Picture for: theirs")
    assert rehearsal.most_at_once == 1
    other.close()


def test_what_was_changed_is_named_after_the_next_picture(page: Page) -> None:
    ask(page)
    until_done(page)
    page.locator("#set-steps input[type=number]").fill("4")
    page.locator("#set-steps input[type=number]").press("Tab")
    page.click("#generate")
    expect(page.locator("#story .changed")).to_contain_text("Steps 28 → 4")

    earlier, slider = page.locator(".earlier"), page.locator(".compare input")
    covered = earlier.evaluate("image => getComputedStyle(image).clipPath")
    slider.fill("50")
    assert earlier.evaluate("image => getComputedStyle(image).clipPath") != covered


def test_enter_in_the_prompt_starts_a_run(page: Page) -> None:
    page.locator(PROMPT_BOX).fill(PROMPT)
    page.locator(PROMPT_BOX).press("Enter")
    until_done(page)
    expect(page.locator("#pictures img")).to_have_attribute("alt", f"Picture for: {PROMPT}")


def test_a_dropped_picture_brings_its_settings_back(page: Page, tmp_path: Path) -> None:
    page.locator(PROMPT_BOX).fill(PROMPT)
    page.locator("#set-steps input[type=number]").fill("4")
    page.locator("#set-seed input").fill("77")
    page.click("#generate")
    until_done(page)
    with page.expect_download() as download:
        page.get_by_text("Download PNG").click()
    file = tmp_path / "home.png"
    download.value.save_as(file)

    page.reload()
    page.wait_for_selector("#generate")
    drop(page, file)
    expect(page.locator("#set-steps input[type=number]")).to_have_value("4")
    expect(page.locator("#set-seed input")).to_have_value("77")
    expect(page.locator("#status")).to_contain_text("The settings are those of home.png")


def test_html_in_a_prompt_is_shown_as_text(page: Page) -> None:
    title = page.title()
    ask(page, HTML)
    until_done(page)
    expect(page.locator("#pictures img")).to_have_attribute("alt", f"Picture for: {HTML}")
    ask(page, "plain")
    expect(page.locator("#story .changed")).to_contain_text("<b>bold</b>")
    assert page.title() == title


@pytest.mark.phone
def test_nothing_sticks_out_of_the_screen(page: Page) -> None:
    ask(page, "a long word: " + "x" * 300)
    until_done(page)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
