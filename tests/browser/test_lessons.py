"""The lessons in a real browser with the embedded model: a link leads through to its end on both screens."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from sd3demo.ui import core
from sd3demo.ui.lessons.lesson_texts import lesson_texts
from sd3demo.ui.lessons.picture_lessons import GUIDANCE
from tests.browser.conftest import opened, watched
from tests.ui.fake_page import serving

pytestmark = pytest.mark.browser

LONG = 240_000  # milliseconds: torch comes in with the first run, plotly with the first chart


@pytest.fixture(scope="module")
def taught() -> Iterator[str]:
    """The address of a page over the embedded model."""
    with serving(core(("tiny",))) as address:
        yield address


@pytest.fixture
def lesson(context: BrowserContext, taught: str) -> Iterator[Page]:
    with watched(context, taught) as page:
        page.goto(f"{taught}#/lessons?lesson={GUIDANCE.name}")
        yield page


def covered(page: Page) -> bool:
    """Whether the result stands below the dock, or beyond the page's right end."""
    return page.evaluate(
        """() => {
            const dock = document.querySelector(".dock").getBoundingClientRect();
            const room = document.querySelector(".gradio-container").getBoundingClientRect();
            const beside = room.right <= dock.left + 1;
            const style = getComputedStyle(document.querySelector(".gradio-container"));
            const below = parseFloat(style.paddingBottom);
            return !(beside || below >= dock.height - 2);
        }"""
    )


@pytest.mark.slow
@pytest.mark.phone
def test_a_lesson_leads_through_from_its_link_to_its_end(lesson: Page) -> None:
    texts = lesson_texts()[GUIDANCE.name]
    for number, step in enumerate(GUIDANCE.steps, 1):
        shown = lesson.locator(f".dock-step[data-step='{number}']:visible")
        expect(shown.locator("h3")).to_have_text(texts.steps[step.name].title, timeout=LONG)
        expect(shown.locator(".dock-run")).to_be_disabled()
        shown.locator(".dock-choice").nth(step.answer).click()
        shown.locator(".dock-run").click()
        expect(shown.locator(".dock-verdict")).to_have_text("As you predicted.", timeout=LONG)
        expect(shown.locator(".dock-bars div")).to_have_count(len(step.bars))
        expect(shown.locator("cite")).to_have_text(f"({step.source})")
        expect(lesson.locator(f"#{step.look}")).to_be_in_viewport(timeout=LONG)
        assert not covered(lesson)
        assert lesson.evaluate("document.documentElement.scrollWidth <= innerWidth")
        expect(lesson).to_have_url(re.compile(rf"lesson=guidance&step={number}$"))
        if number < len(GUIDANCE.steps):
            lesson.locator(".dock [data-act=next]").click()
    lesson.locator(".dock-all").click()
    expect(lesson.locator(".dock-resume:visible")).to_have_text("Resume at step 4")
    lesson.reload()
    lesson.locator("#lessons-open").click()
    lesson.locator(".dock-resume:visible").click()
    expect(lesson).to_have_url(re.compile(r"score\?study=score-cfg&lesson=guidance&step=4"), timeout=LONG)
    lesson.locator(".dock [data-act=close]").click()
    expect(lesson.locator(".dock")).to_be_hidden()
    expect(lesson).not_to_have_url(re.compile("lesson"))


@pytest.mark.slow
def test_a_presentation_shows_the_figure_and_turns_by_the_arrow_keys(lesson: Page) -> None:
    expect(lesson.locator(".dock-step:visible h3")).to_have_text("Without guidance", timeout=LONG)
    size = "parseFloat(getComputedStyle(document.querySelector('.dock-step:not([hidden]) p')).fontSize)"
    before = lesson.evaluate(size)
    lesson.locator("[data-act=present]").click()
    expect(lesson.locator("#header")).to_be_hidden()
    expect(lesson.locator("#generate")).to_be_hidden()
    expect(lesson.locator("#show")).to_be_visible()
    assert lesson.evaluate(size) > 1.2 * before
    lesson.keyboard.press("ArrowRight")
    expect(lesson.locator(".dock-step:visible h3")).to_have_text("A longer velocity")
    expect(lesson.locator("#plot-guidance-norms")).to_be_visible(timeout=LONG)
    expect(lesson.locator("#plot-guidance-angle")).to_be_hidden()
    lesson.keyboard.press("ArrowLeft")
    expect(lesson.locator(".dock-step:visible h3")).to_have_text("Without guidance")
    lesson.keyboard.press("Escape")
    expect(lesson.locator("#header")).to_be_visible()
    expect(lesson.locator("#generate")).to_be_visible()


def test_a_figure_has_a_link_that_scrolls_to_it(blank: Page, address: str) -> None:
    blank.goto(f"{address}#/densities?m=0.5&figure=plot-weights")
    expect(blank.locator("#plot-weights .js-plotly-plot")).to_be_in_viewport(timeout=LONG)
    blank.context.grant_permissions(["clipboard-read", "clipboard-write"])
    blank.locator("[data-figure=plot-pdf]").click()
    expect(blank.locator("#copied")).to_contain_text("copied")
    link = blank.evaluate("navigator.clipboard.readText()")
    assert link.endswith("#/densities?m=0.5&figure=plot-pdf")


@pytest.mark.smoke
@pytest.mark.phone
def test_a_term_is_explained_on_focus_on_a_tap_and_on_hover(page: Page) -> None:
    term = page.locator("#introduction a[href='#term-velocity']")
    note = page.locator("#term-note")
    term.scroll_into_view_if_needed()
    term.focus()
    expect(note).to_contain_text("The direction and speed")
    expect(note).to_have_attribute("role", "tooltip")
    expect(term).to_have_attribute("aria-describedby", "term-note")
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    term.click()
    expect(note).to_be_visible()
    box = note.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.evaluate("innerWidth")
    assert "term-" not in page.url


def test_a_page_without_a_lesson_is_as_it_was(blank: Page, address: str) -> None:
    page = opened(blank, address)
    assert page.locator(".dock").count() == 0
    page.locator("#lessons-open").click()
    expect(page.locator(".dock-list li")).to_have_count(6)
    page.locator("#lessons-open").click()
    expect(page.locator(".dock")).to_be_hidden()
