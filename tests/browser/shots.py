"""`python -m tests.browser.shots`: the README's screenshots, of this build and its model.

One a tab, small in bytes, in assets/screens. They are made by hand before a release and not in the tests,
since what the model draws is no part of them.
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from sd3demo.ui import core, launch
from sd3demo.ui.app import TABS, build
from tests.browser.conftest import ARGUMENTS
from tests.browser.tabs import open_tab

PLACE = Path(__file__).resolve().parents[2] / "assets" / "screens"
SIZE = {"width": 1280, "height": 800}
WIDTH = 960  # pixels of what is kept
PATIENCE = 240_000  # milliseconds
PROMPT = "a red circle above a blue square"


def main() -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    page_ = build(core(("tiny",)))
    address = launch(page_, wait=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.wait_for_selector("#generate")
        picture(page)
        shoot(page, "generate")
        grid(page)
        shoot(page, "grid")
        for title, _ in TABS[1:]:
            page.evaluate("scrollTo(0, 0)")
            open_tab(page, title)
            if title == "Extrapolate":
                page.click("#large-run")
                page.wait_for_selector("#large-status .done")
            if title == "Flow lab":  # it is built when it is looked at
                page.wait_for_selector("#forward-paths .js-plotly-plot", state="attached")
            page.wait_for_timeout(6000)
            shoot(page, title.lower().replace(" ", "-"))
        browser.close()
    page_.close()


def picture(page: Page) -> None:
    page.locator("#set-prompt textarea").fill(PROMPT)
    page.click("#generate")
    page.wait_for_selector("#status .done")


def grid(page: Page) -> None:
    page.locator("#grid button").first.click()
    page.locator("#grid-down input, #grid-down textarea").first.fill("2, 4, 8")
    page.click("#grid-run")
    page.wait_for_selector("#grid-status .done")
    page.locator("#grid").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#grid').scrollIntoView()")


def shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(500)
    image = Image.open(io.BytesIO(page.screenshot()))
    small = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    small.convert("RGB").save(PLACE / f"{name}.webp", quality=78, method=6)
    print(name, (PLACE / f"{name}.webp").stat().st_size, flush=True)


if __name__ == "__main__":
    main()
