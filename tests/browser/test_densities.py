"""The Densities tab in a real browser: a slider moves and the plots follow, on a desktop and on a phone."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.tabs import open_tab, unfold

pytestmark = pytest.mark.browser

FIRST = 60_000  # milliseconds: torch and plotly come in with the first plot


def opened(page: Page) -> Page:
    open_tab(page, "Densities")
    unfold(page, "Schedule")
    page.wait_for_selector("#plot-tail .js-plotly-plot .legend", timeout=FIRST)
    return page


def peak(page: Page, name: str, curve: str) -> float:
    """The time at which a curve is highest, from the data that the plot holds."""
    return page.evaluate(
        """([name, curve]) => {
          const data = document.querySelector(`#plot-${name} .js-plotly-plot`)._fullData;
          const one = data.find(trace => trace.name.startsWith(curve) && trace.visible === true
            && !trace.name.endsWith('sampled'));
          const y = Array.from(one.y);
          return one.x[y.indexOf(Math.max(...y.filter(Number.isFinite)))];
        }""",
        [name, curve],
    )


def slide(page: Page, name: str, value: float) -> None:
    box = page.locator(f"#lab-{name} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def test_a_slider_moves_and_the_plots_data_change(page: Page) -> None:
    opened(page)
    assert peak(page, "pdf", "logit-normal") == pytest.approx(0.5, abs=0.02)
    page.locator("#lab-m input[type=range]").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#plot-pdf .legend >> text=logit-normal(1, 1)")
    assert peak(page, "pdf", "logit-normal(1, 1)") > 0.7
    page.wait_for_selector("#plot-weights .legend >> text=logit-normal(1, 1)")


def test_bad_input_is_a_sentence_above_the_plots_and_good_input_takes_it_away(page: Page) -> None:
    opened(page)
    page.locator("#lab-densities input").nth(1).uncheck()
    page.locator("#lab-densities input").nth(2).uncheck()
    page.locator("#lab-densities input").nth(3).uncheck()
    expect(page.locator("#lab-status")).to_contain_text("No density is chosen; tick one of")
    page.locator("#lab-densities input").nth(0).check()
    page.wait_for_selector("#plot-pdf .legend >> text=uniform")
    expect(page.locator("#lab-status .failed")).to_have_count(0)


def test_more_pixels_move_the_shift_and_the_list_of_times(page: Page) -> None:
    opened(page)
    box = page.locator("#lab-native input")
    box.fill(str(512**2))
    box.press("Tab")
    expect(page.locator("#plot-shifted")).to_contain_text("After the shift by α = 2")
    expect(page.locator("#plot-schedule")).to_contain_text("at shift 2")


@pytest.mark.smoke
def test_a_row_of_table_1_sets_its_density(page: Page) -> None:
    opened(page)
    page.locator("#presets").get_by_text("rf/lognorm(0.50, 0.60)").click()
    page.wait_for_selector("#plot-pdf .legend >> text=logit-normal(0.5, 0.6)")


def test_a_plot_can_be_taken_home_as_numbers_and_as_a_picture(page: Page, tmp_path: Path) -> None:
    opened(page)
    with page.expect_download() as download:
        page.click("#csv-weights")
    download.value.save_as(tmp_path / "weights.csv")
    assert download.value.suggested_filename == "sd3demo-weights.csv"
    header, *rows = csv.reader((tmp_path / "weights.csv").open())
    assert header[0] == "curve"
    assert {"EDM", "logit-normal(0, 1)"} <= {row[0] for row in rows}
    for name, title in (("cdf", "share of training"), ("pdf", "probability density"), ("paths", "amplitude")):
        with page.expect_download() as download:
            page.locator(f"#csv-{name}").press("Enter")
        assert download.value.suggested_filename == f"sd3demo-{name}.csv"
        assert title in download.value.path().read_text().splitlines()[0]
    with page.expect_download() as download:
        page.click("#png-paths")
    download.value.save_as(tmp_path / "paths.png")
    assert (tmp_path / "paths.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.phone
def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    opened(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
