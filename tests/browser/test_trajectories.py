"""The Trajectories tab in a real browser, over a core that has no weights: what ships is enough to see."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sd3demo.history.traces import read_trace, shipped, to_file
from tests.browser.tabs import open_tab, unfold, until
from tests.history.fake_trace import a_trace
from tests.ui.fake_page import Rehearsal, at_step

pytestmark = pytest.mark.browser

STEPS = read_trace(shipped()[0]).steps
FIRST = 120_000  # milliseconds: plotly comes in with the first chart
PIXELS = """canvas => {
  const {width, height} = canvas;
  return Array.from(canvas.getContext('2d').getImageData(0, 0, width, height).data).join();
}"""


def opened(page: Page) -> None:
    open_tab(page, "Trajectories")
    for title in ("Guidance", "Attention"):
        unfold(page, title)
    expect(page.locator("#plot-guidance-angle .js-plotly-plot .legend")).to_be_visible(timeout=FIRST)
    expect(page.locator("#path-told")).to_contain_text("The path is")


@pytest.fixture(scope="module")
def shown(lasting: Page) -> Page:
    """The tab with the trace that it opens with, for those tests that leave it so."""
    opened(lasting)
    return lasting


def numbers(page: Page, name: str, curve: str) -> list[float]:
    """What a plot holds of a curve."""
    return page.evaluate(
        """([name, curve]) => Array.from(document.querySelector(`#plot-${name} .js-plotly-plot`)._fullData
          .find(trace => trace.name === curve)?.y ?? [])""",
        [name, curve],
    )


def drawn(page: Page, place: str) -> str:
    return page.locator(place).first.evaluate(PIXELS)


def slide(page: Page, place: str, value: int) -> None:
    page.locator(place).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


@pytest.mark.smoke
@pytest.mark.phone
def test_the_tab_is_alive_without_any_weights(shown: Page) -> None:
    page = shown
    assert len(numbers(page, "move-lengths", "move")) == STEPS
    assert sum(numbers(page, "move-lengths", "move")) == pytest.approx(
        numbers(page, "travelled", "path so far")[-1], rel=1e-4
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_film_follows_its_slider_without_the_server(shown: Page) -> None:
    page = shown
    slide(page, ".film input", 0)
    noise, blur = drawn(page, ".film canvas >> nth=0"), drawn(page, ".film canvas >> nth=1")
    expect(page.locator(".film output")).to_have_text(f"t = 1.00 · 0 of {STEPS}")
    page.context.set_offline(True)
    slide(page, ".film input", STEPS)
    assert drawn(page, ".film canvas >> nth=0") not in (noise, blur)
    assert drawn(page, ".film canvas >> nth=0") == drawn(page, ".film canvas >> nth=1")
    expect(page.locator(".film output")).to_have_text(f"t = 0.00 · {STEPS} of {STEPS}")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".film output")).not_to_contain_text(f"{STEPS} of {STEPS}")
    page.context.set_offline(False)


@pytest.mark.phone
def test_a_word_shows_its_map_and_a_patch_its_words(shown: Page) -> None:
    page = shown
    place = ".sight canvas"
    at_first = drawn(page, place)
    chip = page.locator(
        ".chips button[aria-pressed=false]:not(.special)"
    ).first  # one is chosen to begin with
    word = chip.evaluate("chip => chip.firstChild.textContent")
    chip.click()
    expect(page.locator(".attention .said")).to_contain_text(f"“{word}” (CLIP)")
    of_word = drawn(page, place)
    slide(page, ".attention input[name=block]", 0)
    expect(page.locator(".attention .dials output").nth(1)).to_have_text("1")
    assert drawn(page, place) not in (at_first, of_word)

    shares = page.locator(".chips button small")
    everywhere = shares.all_inner_texts()
    page.locator(place).click(position={"x": 20, "y": 20})
    expect(page.locator(".attention .said")).to_contain_text("The patch in row 1, column 1 gives the text")
    assert shares.all_inner_texts() != everywhere
    page.keyboard.press("ArrowDown")
    expect(page.locator(".attention .said")).to_contain_text("row 2, column 1")
    page.keyboard.press("Escape")
    expect(page.locator(".attention .said")).to_contain_text("on average")
    assert shares.all_inner_texts() == everywhere


def test_a_recorded_trace_changes_the_plots_and_is_compared(page: Page) -> None:
    opened(page)
    before = numbers(page, "move-lengths", "move")
    page.get_by_role("button", name="Without guidance").click()
    expect(page.locator("#path-told")).to_contain_text(re.compile(r"CFG scale [\d.]+ → 1"))
    page.wait_for_selector("#plot-move-lengths .legend >> text=previous run")
    assert numbers(page, "move-lengths", "move") != before
    assert numbers(page, "move-lengths", "previous run") == before
    expect(page).to_have_url(re.compile("#/trajectories\\?recorded=without-guidance(&t=[0-9.]+)?$"))
    page.get_by_label("Overlay the previous run").uncheck()
    page.wait_for_selector("#plot-move-lengths .legend >> text=previous run", state="detached")
    assert numbers(page, "move-lengths", "previous run") == []


def test_a_generation_fills_the_tab(page: Page) -> None:
    opened(page)
    box = page.locator("#path-steps input[type=number]")
    box.fill("7")
    box.press("Tab")
    page.click("#path-generate")
    expect(page.locator("#path-status .done")).to_contain_text("Done in")
    expect(page.locator("#path-told")).to_contain_text("7 steps of Euler")
    page.wait_for_function(
        "document.querySelector('#plot-move-lengths .js-plotly-plot')._fullData[0].y.length === 7"
    )
    expect(page.locator(".film output")).to_contain_text("of 7")
    expect(page.locator(".attention .chips button")).to_have_count(5)


def test_stop_ends_a_run_and_brings_the_trace_before_back(
    page: Page, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(page)
    monkeypatch.setattr(rehearsal, "hold", at_step(3))
    before, ended = numbers(page, "angles", "turn"), len(rehearsal.ended)
    box = page.locator("#path-steps input[type=number]")
    box.fill("100")
    box.press("Tab")
    page.click("#path-generate")
    expect(page.locator("#path-status")).to_contain_text(re.compile(r"Step \d+ of 100"))
    page.click("#path-stop")
    expect(page.locator("#path-status .done")).to_contain_text("Stopped after")
    expect(page.locator("#path-film .film canvas")).to_have_count(2)
    until(page, lambda: len(rehearsal.ended) > ended)
    assert rehearsal.ended[ended:] == ["closed"]
    assert numbers(page, "angles", "turn") == before


def test_a_trace_goes_out_as_a_file_and_comes_back(page: Page, tmp_path: Path) -> None:
    opened(page)
    with page.expect_download() as download:
        page.get_by_text("Save this trace").click()
    kept = tmp_path / download.value.suggested_filename
    download.value.save_as(kept)
    assert read_trace(kept).request.prompt == "a red circle above a blue square"
    file = tmp_path / "another.safetensors"
    file.write_bytes(to_file(a_trace(steps=5)))
    with page.expect_file_chooser() as chooser:
        page.click("#path-open")
    chooser.value.set_files(file)
    expect(page.locator("#path-status")).to_contain_text("another.safetensors is a trace of “a red circle”")
    page.wait_for_function(
        "document.querySelector('#plot-move-lengths .js-plotly-plot')._fullData[0].y.length === 5"
    )


def test_what_is_no_trace_is_refused_and_changes_nothing(shown: Page, tmp_path: Path) -> None:
    page = shown
    before = numbers(page, "angles", "turn")
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"nothing of the kind")
    with page.expect_file_chooser() as chooser:
        page.click("#path-open")
    chooser.value.set_files(file)
    expect(page.locator("#path-status .failed")).to_contain_text("“weights.safetensors” is no trace")
    assert numbers(page, "angles", "turn") == before


def test_a_plot_can_be_taken_home_as_numbers_and_as_a_picture(shown: Page, tmp_path: Path) -> None:
    page = shown
    with page.expect_download() as download:
        page.click("#csv-travelled")
    download.value.save_as(tmp_path / "travelled.csv")
    header, *rows = csv.reader((tmp_path / "travelled.csv").open())
    assert header[0] == "curve"
    assert {"path so far", "its chord", "√(2D)"} == {row[0] for row in rows}
    with page.expect_download() as download:
        page.click("#png-projection")
    download.value.save_as(tmp_path / "projection.png")
    assert (tmp_path / "projection.png").read_bytes().startswith(b"\x89PNG")


def test_a_link_opens_the_trace_that_it_names(blank: Page, address: str) -> None:
    page = blank
    page.goto(address + "#/trajectories?recorded=a-written-word")
    expect(page.locator("#path-told")).to_contain_text("FLOW", timeout=FIRST)
    expect(page.locator("#plot-guidance-angle .js-plotly-plot .legend")).to_be_visible(timeout=FIRST)
    assert page.locator("#plot-move-lengths .legend").get_by_text("previous run").count() == 0
