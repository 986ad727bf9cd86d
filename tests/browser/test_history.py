"""History, links and receipts in a real browser: what stays after a reload, a restart, and on another tab."""

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from sd3demo.history import RunStore
from sd3demo.ui import Core
from tests.browser.tabs import drop, open_tab, until
from tests.ui.fake_page import Rehearsal, serving, write_model

pytestmark = pytest.mark.browser

PROMPT = "a red circle above a blue square"
HTML = "<img src=x onerror=\"document.title='broken'\"> <b>bold</b>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("page") / "model"))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def address(model: str, store: RunStore) -> Iterator[str]:
    """A page of its own for each test, with a history."""
    with serving(Core((model, "sd3-medium"), Rehearsal(seconds=0.01).run, store)) as address:
        yield address


def visit(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("[role=tab]")
    return page


def make(page: Page, prompt: str = PROMPT, **settings: str) -> None:
    for name, value in settings.items():
        box = page.locator(f"#set-{name} input").first
        box.fill(value)
        box.press("Tab")
    page.locator("#set-prompt textarea").fill(prompt)
    before = page.locator("#status").inner_html()
    page.click("#generate")
    page.wait_for_function("(before) => document.querySelector('#status').innerHTML !== before", arg=before)
    expect(page.locator("#status")).to_contain_text("Done in")


@pytest.mark.smoke
@pytest.mark.phone
def test_a_finished_run_is_there_after_a_reload_and_after_a_restart(
    page: Page, context: BrowserContext, store: RunStore, model: str
) -> None:
    make(page, steps="4", seed="77")
    make(page, HTML)
    until(page, lambda: len(store.runs()) == 2)  # the first run's end still stood there
    open_tab(page, "History")
    expect(page.locator(".runs li")).to_have_count(2)
    page.wait_for_function("location.hash.startsWith('#/history')")
    page.reload()  # the address holds the tab
    expect(page.locator(".runs li")).to_have_count(2)
    with serving(Core((model,), Rehearsal().run, store)) as again:
        other = visit(context, f"{again}#/history")
        expect(other.locator(".runs li")).to_have_count(2)
        other.fill("#search input, #search textarea", "CIRCLE blue")
        expect(other.locator(".runs li")).to_have_count(1)
        other.locator(".runs button").first.press("Enter")
        expect(other.locator("#run-story h2")).to_have_text(PROMPT)
        expect(other.locator("#run-pictures img")).to_have_attribute("alt", f"Picture for: {PROMPT}")
        other.get_by_text("Use these settings").click()
        expect(other.locator("#set-steps input[type=number]")).to_have_value("4")
        expect(other.locator("#set-seed input")).to_have_value("77")
        expect(other.locator("#set-prompt textarea")).to_have_value(PROMPT)
        assert other.title() != "broken"
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_runs_are_taken_home_and_deleted(page: Page, store: RunStore, tmp_path: Path) -> None:
    for seed in ("1", "2", "3"):
        make(page, seed=seed, steps="2")
    open_tab(page, "History")
    expect(page.locator(".runs li")).to_have_count(3)
    page.locator(".mark input").nth(0).check()
    page.locator(".mark input").nth(1).check()
    expect(page.locator("#marked")).to_have_text("2 marked")
    with page.expect_download() as download:
        page.click("#export-marked")
    download.value.save_as(tmp_path / "runs.zip")
    with zipfile.ZipFile(tmp_path / "runs.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == set(store.ids()[:2])
    page.click("#delete-marked")
    expect(page.locator("#history-status")).to_contain_text("Delete these 2 runs and the pictures for good?")
    assert len(store.ids()) == 3
    page.click("#sure-delete")
    expect(page.locator(".runs li")).to_have_count(1)
    assert len(store.ids()) == 1


def test_favourites_are_starred_found_and_a_bad_search_is_a_sentence_that_goes(
    page: Page, store: RunStore
) -> None:
    for seed, steps in (("1", "2"), ("1", "3"), ("2", "3")):
        make(page, seed=seed, steps=steps)
    open_tab(page, "History")
    expect(page.locator(".runs li")).to_have_count(3)
    expect(page.locator(".runs .changes")).to_have_text(["Seed 1 → 2", "Steps 2 → 3"])
    page.locator(".star input").nth(1).check(force=True)
    until(page, lambda: store.is_favourite(store.ids()[1]))
    page.get_by_role("button", name="★ Favourites").click()
    expect(page.locator(".runs li")).to_have_count(1)
    expect(page.locator(".star input")).to_be_checked()
    search = page.locator("#search input, #search textarea")
    search.fill("stepps>2")
    expect(page.locator("#runs .failed")).to_contain_text(
        "Unknown setting 'stepps' in the search; nearest are steps"
    )
    search.fill("steps>2")
    expect(page.locator(".runs li")).to_have_count(2)
    for box in page.locator(".mark input").all():
        box.check()
    page.click("#favourite-marked")
    expect(page.locator(".star input:checked")).to_have_count(2)


@pytest.mark.parametrize("leave", [True, False], ids=["left", "stopped"])
def test_a_run_goes_on_when_its_page_is_left_and_is_there_on_return(
    leave: bool, context: BrowserContext, model: str, store: RunStore
) -> None:
    held = [True]
    rehearsal = Rehearsal(hold=lambda step: held[0] and step.index == 2)
    with serving(Core((model,), rehearsal.run, store)) as address:
        tab, other = visit(context, address), context.new_page()
        tab.click("#generate")
        expect(tab.locator("#status")).to_contain_text("Step 3 of")
        if not leave:
            tab.click("#stop")
            expect(tab.locator("#status")).to_contain_text("Stopped after step 3")
            assert (rehearsal.ended, store.ids()) == (["closed"], [])
            return
        tab.close()
        other.goto(f"{address}#/history")
        expect(other.locator("#damage")).to_contain_text("A run goes on that was started before")
        held[0] = False
        until(other, lambda: (len(store.ids()), rehearsal.ended) == (1, ["finished"]))
        other.goto(address)
        other.goto(f"{address}#/history")
        expect(other.locator(".runs li")).to_have_count(1)


def test_arrow_keys_go_from_picture_to_picture(page: Page) -> None:
    for seed in ("1", "2"):
        make(page, seed=seed, steps="2")
    open_tab(page, "History")
    expect(page.locator(".runs li")).to_have_count(2)
    buttons = page.locator(".runs button")
    buttons.first.focus()
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(buttons.first).to_be_focused()


def test_a_picture_dropped_on_any_tab_brings_its_settings(page: Page, store: RunStore) -> None:
    make(page, steps="4", seed="77")
    for tab in ("About", "History", "Densities"):
        open_tab(page, "Generate")
        page.locator("#set-seed input").fill("5")
        page.locator("#set-steps input[type=number]").fill("9")
        open_tab(page, tab)
        drop(page, store.runs()[0].images[0])
        expect(page.locator("#set-seed input")).to_have_value("77")
        expect(page.locator("#set-steps input[type=number]")).to_have_value("4")
        expect(page.locator("#status")).to_contain_text("The settings are those of 0.png")
        expect(page.locator("#generate")).to_be_visible()
        expect(page).to_have_url(re.compile(r"#/generate\?.*seed=77.*steps=4"))


@pytest.mark.phone
def test_a_picture_dropped_on_the_check_is_checked(page: Page, store: RunStore, tmp_path: Path) -> None:
    make(page, steps="4", seed="77")
    open_tab(page, "Verify")
    drop(page, store.runs()[0].images[0])
    expect(page.locator("#verify-verdict")).to_contain_text("“0.png” is what its receipt says")
    expect(page.locator("#verify-file-picture img")).to_be_visible()
    expect(page.locator("#verify-again img")).to_be_visible()
    foreign = tmp_path / "foreign.png"
    foreign.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(200))
    drop(page, foreign)
    expect(page.locator("#verify-status .failed")).to_contain_text("“foreign.png” is a damaged PNG file")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_run_of_the_history_is_checked_from_there(page: Page) -> None:
    make(page, steps="3")
    open_tab(page, "History")
    page.locator(".runs button").first.click()
    for _ in range(2):  # the same picture again is made again
        page.locator("#run-story").get_by_text("Verify", exact=True).click()
        expect(page.locator("#earlier-verdict")).to_have_count(0)
        expect(page.locator("#verify-verdict")).to_contain_text("not one byte differs")
        page.evaluate("document.querySelector('.verdict').id = 'earlier-verdict'")
        expect(page).to_have_url(re.compile(r"#/verify\?run=.+/0$"))
        open_tab(page, "History")


def states(page: Page) -> dict[str, str | bool | None]:
    """What every control of the form holds, by its id."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[id^=set-]")].map((control) => {
            const radio = control.querySelector("input[type=radio]:checked");
            const field = control.querySelector("textarea, input[type=number], input");
            return [control.id, radio ? radio.value : field?.value];
        }))"""
    )


def test_a_link_opens_in_exactly_the_same_state(page: Page, context: BrowserContext, address: str) -> None:
    text = 'two "words" & 100% #ü🐴,\nline'
    link = (
        "#/generate?prompt=two+%22words%22+%26+100%25+%23%C3%BC%F0%9F%90%B4,%0Aline&negative=dogs&seed=4294967290"
        "&count=2&width=96&height=32&steps=5&cfg=7.5&cfg_from=0.25&cfg_to=0.75&solver=heun&schedule=comfy"
        "&shift=17.5&t5=empty&clip_l=zeros&prompt_2=second&max_sequence_length=9&precision=bfloat16"
        "&placement=streamed"
    )
    first = visit(context, address + link)
    expect(first.locator("#set-prompt textarea")).to_have_value(text)
    expect(first.locator("#set-steps input[type=number]")).to_have_value("5")
    for title in ("Text", "Size and batch", "Advanced"):
        first.get_by_role("button", name=re.compile(f"^{title}")).click()
    expect(first.locator("#set-cfg_from input[type=number]")).to_have_value("0.25")
    expect(first.locator("#notice .failed")).to_have_count(0)
    first.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    first.click("#copy-link")
    copied = first.locator("#copied input").input_value()

    second = visit(context, copied)
    for title in ("Text", "Size and batch", "Advanced"):
        second.get_by_role("button", name=re.compile(f"^{title}")).click()
    expect(second.locator("#set-prompt textarea")).to_have_value(text)
    expect(second.locator("#set-cfg_from input[type=number]")).to_have_value("0.25")
    was, now = states(first), states(second)
    assert now == was
    assert len(now) >= 20
    assert (now["set-t5"], now["set-shift"], now["set-width"]) == ("empty", "17.5", "96")


@pytest.mark.parametrize(
    ("link", "fold", "seen", "value"),
    [
        ("#/densities?m=0.5&densities=uniform,mode", "", "#lab-m input[type=number]", "0.5"),
        ("#/flow-lab?data=rings&steps=700", "Training settings", "#plane-steps input[type=number]", "700"),
    ],
)
def test_a_link_opens_its_tab(
    link: str, fold: str, seen: str, value: str, context: BrowserContext, address: str
) -> None:
    page = visit(context, address + link)
    if fold:
        page.get_by_role("button", name=fold).click()
    expect(page.locator(seen)).to_be_visible()
    expect(page.locator(seen)).to_have_value(value)
    box = page.locator(seen)
    box.fill("1" if "densities" in link else "900")
    box.press("Tab")
    expect(page).to_have_url(re.compile(r"m=1\b|steps=900"))


def test_a_bad_link_sets_what_it_can_and_says_the_rest(page: Page) -> None:
    page.evaluate("location.hash = '#/generate?steps=1000&cfg=2&prompt=' + encodeURIComponent('<b>bold</b>')")
    expect(page.locator("#notice")).to_contain_text("Steps is 1000; it must lie in [1, 100]")
    expect(page.locator("#set-prompt textarea")).to_have_value("<b>bold</b>")
    expect(page.locator("#set-cfg input[type=number]")).to_have_value("2")
    page.evaluate("location.hash = '#/nowhere'")
    expect(page.locator("#notice")).to_contain_text("This link names the tab 'nowhere'")
