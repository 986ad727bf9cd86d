"""The grid below the Generate tab: cells form together, Stop works, a cell gives its settings back."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sd3demo.history.sheet_receipts import read_sheet
from tests.browser.tabs import until
from tests.ui.fake_page import Rehearsal, at_step

pytestmark = pytest.mark.browser


def asked(page: Page, across: str, down: str) -> None:
    page.locator("#set-prompt textarea").fill("a red circle above a blue square")
    if not page.locator("#grid-run").is_visible():
        page.locator("#grid button").first.click()
    page.locator("#grid-across input, #grid-across textarea").first.fill(across)
    page.locator("#grid-down input, #grid-down textarea").first.fill(down)
    page.click("#grid-run")


@pytest.mark.smoke
@pytest.mark.phone
def test_a_grid_forms_and_gives_every_cells_settings_back(page: Page, tmp_path: Path) -> None:
    asked(page, "1, 4", "2, 3")
    page.wait_for_selector("#grid-status .done")
    expect(page.locator("#grid-sheet td a img")).to_have_count(4)
    expect(page.locator("#grid-sheet thead th")).to_have_text(["1", "4"])
    with page.expect_download() as download:
        page.get_by_text("Download it as one PNG").click()
    download.value.save_as(tmp_path / "grid.png")
    sheet = read_sheet(tmp_path / "grid.png")
    assert [sheet.cell(column, row).request.steps for row in (0, 1) for column in (0, 1)] == [2, 2, 3, 3]
    page.locator("#grid-sheet td a").nth(3).click()
    expect(page.locator("#set-steps input[type=number]")).to_have_value("3")
    expect(page.locator("#set-cfg input[type=number]")).to_have_value("4")


def test_stop_ends_a_grid_at_its_next_step(
    page: Page, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(rehearsal.ended)
    monkeypatch.setattr(rehearsal, "hold", at_step(3))
    asked(page, "1, 2, 4", "40")
    page.wait_for_selector("#grid-sheet td img")
    page.click("#grid-stop")
    page.wait_for_selector("#grid-status .done")
    expect(page.locator("#grid-status")).to_contain_text("Stopped")
    until(page, lambda: len(rehearsal.ended) > before)
    assert rehearsal.ended[before:] == ["closed"]


def test_a_grid_that_cannot_be_made_is_a_sentence(page: Page) -> None:
    asked(page, "0.5, 1", "2")
    expect(page.locator("#grid-status .failed")).to_have_text("CFG scale is 0.5; it must lie in [1, 30].")


def test_choosing_a_setting_fills_in_values_to_begin_with(page: Page) -> None:
    page.locator("#grid button").first.click()
    page.locator("#grid-x input").click()
    page.get_by_role("option", name="T5", exact=True).click()
    expect(page.locator("#grid-across input, #grid-across textarea").first).to_have_value(
        "on, zeros, omit, empty"
    )
