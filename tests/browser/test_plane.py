"""The flow lab in a real browser: a flow is trained, reflowed and stopped before one's eyes."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sd3demo.training import toy_flow
from tests.browser.tabs import open_tab, unfold

pytestmark = pytest.mark.browser

FIRST = 120_000  # milliseconds: torch and plotly come in with the first training


def opened(page: Page, steps: int) -> None:
    open_tab(page, "Flow lab")
    page.get_by_role("button", name="Training settings").click()
    box = page.locator("#plane-steps input[type=number]")
    box.fill(str(steps))
    box.press("Tab")


def held(train: Any, *, step: int) -> Any:
    """The training that stays at a step, so that Stop is pressed there however long the press takes."""

    def trained(*arguments: Any, **settings: Any) -> Iterator[toy_flow.Lesson]:
        for lesson in train(*arguments, **settings):
            yield lesson
            while lesson.step == step:
                time.sleep(0.25)
                yield lesson

    return trained


def straightness(page: Page) -> float:
    text = page.inner_text("#plane-figures").replace("\n", " ")
    found = re.search(r"Straight ([\d.]+)", text)
    assert found, text
    return float(found[1])


@pytest.mark.slow
@pytest.mark.phone
def test_a_flow_is_trained_and_reflow_straightens_it(page: Page) -> None:
    opened(page, 200)
    page.get_by_label("Rings").check()
    page.click("#plane-train")
    expect(page.locator("#plane-status")).to_contain_text("200 training steps done", timeout=FIRST)
    expect(page.locator("#plot-trajectories")).to_contain_text("Press Reflow")
    bent = straightness(page)
    page.click("#plane-reflow")
    expect(page.locator("#plane-figures")).to_contain_text("after one round of reflow", timeout=FIRST)
    assert straightness(page) > bent + 0.1
    expect(page.locator("#plot-trajectories canvas")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_training_can_be_stopped(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_flow, "train", held(toy_flow.train, step=100))
    opened(page, 5000)
    page.click("#plane-train")
    expect(page.locator("#plane-status")).to_contain_text("Step 100 of", timeout=FIRST)
    page.click("#plane-stop")
    expect(page.locator("#plane-status")).to_contain_text(
        "Stopped after 100 steps. The previous flow is kept"
    )
    expect(page.locator("#plot-trajectories canvas")).to_have_count(2)


def test_other_data_have_their_own_particles(page: Page) -> None:
    open_tab(page, "Flow lab")
    view = page.locator(".particles")
    expect(view.locator("canvas")).to_have_count(2, timeout=FIRST)
    ends: dict[str, str] = {}
    for data in ("Rings", "Checkerboard", "Moons"):
        before = view.get_attribute("data-told")
        page.get_by_label(data, exact=True).check()
        expect(view).not_to_have_attribute("data-told", before or "")
        expect(view.locator("output")).not_to_have_text("t = 0.00")  # it plays anew
        view.get_by_label("Time, from noise at t = 1 to data at t = 0").focus()
        page.keyboard.press("End")
        expect(view.locator("output")).to_have_text("t = 0.00")
        ends[data] = view.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    assert len(set(ends.values())) == 3


@pytest.mark.phone
def test_the_tab_opens_on_particles_that_move_by_themselves_and_under_the_slider(page: Page) -> None:
    open_tab(page, "Flow lab")
    view = page.locator(".particles")
    expect(view.locator("canvas")).to_have_count(2, timeout=FIRST)
    expect(view.locator("output")).not_to_have_text("t = 1.00")  # it plays
    expect(view.locator("figcaption b")).to_have_text(["Before reflow", "After reflow"])
    page.wait_for_timeout(500)
    asked: list[str] = []
    page.on("request", lambda sent: asked.extend([sent.url] if "/queue/" in sent.url else []))
    slider = view.get_by_label("Time, from noise at t = 1 to data at t = 0")
    slider.focus()
    shown = []
    for key, t in (("Home", "t = 1.00"), ("End", "t = 0.00")):
        page.keyboard.press(key)
        expect(view.locator("output")).to_have_text(t)
        shown.append(view.locator("canvas").last.evaluate("canvas => canvas.toDataURL()"))
    view.get_by_role("button", name="1", exact=True).click()
    shown.append(view.locator("canvas").last.evaluate("canvas => canvas.toDataURL()"))
    assert len(set(shown)) == 3
    assert asked == []
    save = page.locator("#plot-trajectories .save button:visible")
    expect(save).to_have_text(["Link", "CSV", "PNG"])
    with page.expect_download() as download:
        save.last.click()
    assert download.value.suggested_filename == "sd3demo-trajectories.png"
    page.get_by_label("Rings").first.check()
    expect(page.locator("#plane-figures")).to_contain_text("after one round of reflow")
    page.get_by_label("Drawn by you").check()
    expect(page.locator("#plot-trajectories")).to_contain_text("Draw the data on the sheet")
    expect(page.locator("#plot-trajectories .save")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.phone
def test_a_click_moves_the_point_and_the_lines_answer(page: Page) -> None:
    open_tab(page, "Flow lab")
    unfold(page, "Field")
    plot = page.locator("#plot-field .js-plotly-plot")
    expect(plot).to_be_visible(timeout=FIRST)
    before = page.inner_text("#field-said")
    area = plot.locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    x, y = (page.locator(f"#field-field_{axis} input[type=number]") for axis in "xy")
    expect(x).to_have_value(re.compile(r"^-\d"))
    expect(y).to_have_value(re.compile(r"^\d"))
    expect(page.locator("#field-said")).not_to_have_text(before)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.phone
def test_the_claims_stand_in_a_table(page: Page) -> None:
    open_tab(page, "Claims")
    expect(page.locator("#claims tbody tr")).to_have_count(20)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
