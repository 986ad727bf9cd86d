"""What a person does with the Extrapolate tab, on a desktop and on a phone."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sd3demo.flow.extrapolation.methods import METHODS
from tests.browser.tabs import open_tab
from tests.ui.fake_page import Rehearsal

pytestmark = pytest.mark.browser

FIRST = 120_000  # milliseconds: numpy's and plotly's first use


def opened(page: Page, *, steps: int = 3) -> None:
    open_tab(page, "Extrapolate")
    page.wait_for_selector("#large-run")
    if not page.locator("#large-steps input[type=number]").is_visible():
        page.locator("#large-set button", has_text="Sampling").click()
    for name, row in (("large_steps", "Direct"), ("steps", "Native")):  # one answer after the other
        box = page.locator(f"#large-{name} input[type=number]")
        box.fill(str(steps))
        box.press("Tab")
        told = page.locator("#large-plan .stages tbody tr", has_text=row).first.locator("td").nth(1)
        expect(told).to_have_text(
            re.compile(rf"^({steps}|{steps + 1}|{steps + 2})$")
        )  # with a tail of up to two


def enlarge(page: Page) -> None:
    page.click("#large-run")
    page.wait_for_selector("#large-status .done, #large-status .failed", timeout=FIRST)


@pytest.fixture(scope="module")
def shown(lasting: Page) -> Page:
    """The page with its pictures, made once for those tests that only look at them."""
    opened(lasting)
    enlarge(lasting)
    return lasting


def style(page: Page, name: str) -> str:
    return str(page.locator(".lens").evaluate(f"lens => lens.style.getPropertyValue('{name}')"))


@pytest.mark.smoke
@pytest.mark.phone
def test_the_tab_opens_on_a_recorded_result_with_the_true_render_as_a_choice(page: Page) -> None:
    open_tab(page, "Extrapolate")
    expect(page.locator("#large-cards figure")).to_have_count(5, timeout=FIRST)
    expect(page.locator("#large-story")).to_contain_text("is nearest to the true render")
    page.get_by_label("Picture on the left").select_option(label="True render")
    sizes = page.evaluate(
        "Promise.all([...document.querySelectorAll('#large-lens img')].map(async image => {"
        "await image.decode(); return image.naturalWidth}))"
    )
    assert len(set(sizes)) == 1
    open_tab(page, "Generate")
    open_tab(page, "Extrapolate")  # what is shown stays
    expect(page.locator("#large-lens .over img")).to_have_attribute("alt", "True render")


@pytest.mark.phone
@pytest.mark.parametrize("name", ["The plan", "The stages"])
def test_every_number_of_the_plan_can_be_read(lasting: Page, name: str) -> None:
    open_tab(lasting, "Extrapolate")
    lasting.locator(".stages").evaluate("stages => { stages.open = true }")
    region = lasting.get_by_role("region", name=name)
    expect(region).to_be_visible()
    cut = region.evaluate("""region => [...region.querySelectorAll("th, td, caption")].filter(cell => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return range.getBoundingClientRect().right > region.getBoundingClientRect().right + 0.5;
    }).map(cell => cell.textContent)""")
    assert cut == []


def test_three_pictures_come_and_any_two_lie_under_the_slider(shown: Page) -> None:
    page = shown
    expect(page.locator("#large-cards figure")).to_have_count(4)
    titles = page.locator("#large-cards b").all_inner_texts()
    assert titles == ["Native", "Upsampled", "Direct", "Projected flow"]
    over = page.locator(".lens .over img")
    assert page.locator(".lens .under img").get_attribute("alt") == "Projected flow"
    assert over.get_attribute("alt") == "Upsampled"
    before = over.get_attribute("src")
    page.get_by_label("Picture on the left").select_option(label="Direct")
    assert over.get_attribute("alt") == "Direct"
    assert over.get_attribute("src") != before
    sizes = page.evaluate(
        "Promise.all([...document.querySelectorAll('#large-cards img')].map(async image => {"
        "await image.decode(); return image.naturalWidth}))"
    )
    assert sizes == [64, 128, 128, 128]
    page.get_by_label("Picture on the left").select_option(label="Upsampled")


@pytest.mark.phone
def test_the_slider_is_dragged_and_moved_by_keys(shown: Page) -> None:
    page = shown
    stage = page.locator(".lens .stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=5)
    page.mouse.up()
    assert float(style(page, "--cut").rstrip("%")) == pytest.approx(80, abs=1.5)
    stage.focus()
    page.keyboard.press("ArrowLeft")
    assert float(style(page, "--cut").rstrip("%")) == pytest.approx(78, abs=1.5)
    slide = page.locator(".lens .slide")
    slide.focus()
    page.keyboard.press("Home")
    assert style(page, "--cut") == "0%"


@pytest.mark.phone
def test_both_pictures_are_enlarged_and_moved_together(shown: Page) -> None:
    page = shown
    stage = page.locator(".lens .stage")
    stage.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert style(page, "--zoom") == "4"
    page.keyboard.press("ArrowRight")
    assert style(page, "--x") == "-40px"
    places = [
        page.locator(f".lens .{which} img").evaluate("image => JSON.stringify(image.getBoundingClientRect())")
        for which in ("over", "under")
    ]
    assert places[0] == places[1]
    for _ in range(60):
        page.keyboard.press("ArrowRight")  # it stops at the border of the picture
    width = stage.evaluate("stage => stage.clientWidth")
    assert float(style(page, "--x").rstrip("px")) == pytest.approx(-1.5 * width, abs=1)
    page.get_by_role("button", name="Fit", exact=True).click()
    assert (style(page, "--zoom"), style(page, "--x")) == ("1", "0px")


def test_the_x_ray_says_what_is_seen(shown: Page) -> None:
    page = shown
    page.wait_for_selector("#plot-xray-strength .js-plotly-plot", timeout=FIRST)
    expect(page.locator("#xray-strength-says")).to_contain_text("The strength goes from 1.50 to 0.50")
    page.locator("#xray-of").get_by_label("Direct").check()
    expect(page.locator("#xray-strength-says")).to_contain_text("no strength")


@pytest.mark.phone
def test_nothing_sticks_out_of_the_screen(shown: Page) -> None:
    page = shown
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


@pytest.mark.parametrize(
    ("tab", "shown_at", "box"),
    [
        ("Extrapolate", "#large-show", "#large-prompt textarea"),
        ("Trajectories", "#path-show", "#path-prompt textarea"),
    ],
)
def test_after_an_edit_the_picture_says_so_until_the_edit_is_undone(
    page: Page, tab: str, shown_at: str, box: str
) -> None:
    open_tab(page, tab)
    since = page.locator(f"{shown_at} .since")
    expect(since).to_have_count(1, timeout=FIRST)
    expect(since).to_be_hidden()
    before = page.locator(box).input_value()
    page.locator(box).fill("a blue heart")
    expect(since).to_be_visible()
    page.locator(box).fill(before)
    expect(since).to_be_hidden()
    page.locator(box).fill("a blue heart")
    page.click("#large-run" if tab == "Extrapolate" else "#path-generate")
    page.wait_for_selector(f"{shown_at} .since:not(:visible)", state="attached", timeout=FIRST)


def test_a_preset_sets_its_parts(lasting: Page) -> None:
    page = lasting
    opened(page)
    page.locator("#large-preset").get_by_label("The paper, for Lumina").check()
    expect(page.locator("#large-use_half_patch input")).not_to_be_checked()
    page.locator("#large-preset").get_by_label("Authors’ release").check()
    expect(page.locator("#large-use_half_patch input")).to_be_checked()
    expect(page.locator("#large-use_attention input")).to_be_checked()
    page.locator("#large-size").get_by_label("4×").check()
    expect(page.locator("#large-plan .stages")).to_contain_text("256 × 256")


def test_a_picture_of_ones_own_changes_the_plan_at_once(lasting: Page, tmp_path: Path) -> None:
    page = lasting
    opened(page)
    Image.new("RGB", (300, 200), "red").save(tmp_path / "own.png")
    page.locator("#large-set button", has_text="Your own picture").click()
    page.locator("#large-own input[type=file]").set_input_files(tmp_path / "own.png")
    expect(page.locator("#large-status .done")).to_contain_text("own.png”, 300 × 200 px, replaces the native")
    expect(page.locator("#large-plan")).to_contain_text("Your picture")
    expect(page.locator("#large-plan .stages tbody tr").first).not_to_contain_text("64 × 64")
    page.locator("#large-own button").first.click()  # taken away again
    expect(page.locator("#large-plan .stages tbody tr").first).to_contain_text("64 × 64")


def test_bad_input_gets_its_sentence_before_anything_runs(lasting: Page) -> None:
    page = lasting
    opened(page)
    page.get_by_label("Own size").check()
    width = page.locator("#large-width input")
    width.fill("100")
    width.press("Tab")
    expect(page.locator("#large-plan .failed")).to_contain_text("Width is 100")
    page.click("#large-run")
    expect(page.locator("#large-status .failed")).to_contain_text("Width is 100", timeout=FIRST)


def test_a_switch_changes_the_plan_at_once_and_the_picture_after(page: Page) -> None:
    opened(page)
    plan = page.locator("#large-plan .stages tbody")
    expect(plan).to_contain_text("Projected flow")
    page.locator("#large-use_flow input").uncheck()
    expect(plan).not_to_contain_text("Projected flow")
    expect(plan).not_to_contain_text("as the guide")
    page.locator("#large-set button", has_text="Projected flow").click()
    expect(page.locator("#large-strength")).to_contain_text("reads it")
    expect(page.locator("#large-strength input")).to_be_disabled()
    enlarge(page)
    expect(page.locator("#large-cards figure")).to_have_count(3)
    page.locator("#large-use_flow input").check()
    expect(plan).to_contain_text("as the guide")
    enlarge(page)
    expect(page.get_by_label("Picture on the left")).to_contain_text("The previous run (direct")
    expect(page.locator("#large-story")).to_contain_text("Before: direct")


def test_all_methods_stand_side_by_side_on_demand(page: Page) -> None:
    opened(page, steps=2)
    page.click("#large-all")
    page.wait_for_selector("#large-status .done, #large-status .failed", timeout=FIRST)
    shown = {"native", *METHODS} - {"super-resolution"}  # which has no network here
    expect(page.locator("#large-cards figure")).to_have_count(len(shown))


def test_stop_keeps_the_native_picture(
    page: Page, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(page, steps=20)
    monkeypatch.setattr(rehearsal, "hold", lambda step: step.stage != "native")
    page.click("#large-run")
    expect(page.locator("#large-status")).to_contain_text("Direct: step", timeout=FIRST)
    page.click("#large-stop")
    expect(page.locator("#large-status")).to_contain_text("Stopped: Direct, step", timeout=FIRST)
    expect(page.locator("#large-cards figure").first.locator("a")).to_have_text("PNG")
    assert page.locator("#large-cards a").count() in (1, 2)  # the native picture, and the one upsampled
