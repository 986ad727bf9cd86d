"""What a person does on any tab: opens it, on a phone in the menu where the tabs end; drops a file; waits."""

import base64
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page


def open_tab(page: Page, title: str) -> None:
    tab = page.get_by_role("tab", name=title).first
    if tab.is_visible():
        tab.click()
    else:
        page.locator(".overflow-menu > button").first.click()  # tabs within a tab have one of their own
        page.locator(".overflow-dropdown").first.get_by_role("button", name=title, exact=True).click()


def unfold(page: Page, title: str) -> None:
    """Open a section of which a phone shows the heading alone; a wider screen folds none."""
    if page.evaluate("matchMedia('(max-width: 799px)').matches"):
        heading = page.get_by_role("button", name=title, exact=True)
        heading.wait_for()
        if heading.get_attribute("aria-expanded") == "false":
            heading.click()


def until(page: Page, reached: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something of this process, while the page goes on; a busy machine may take its time."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it did not come to pass"
        page.wait_for_timeout(20)


def drop(page: Page, file: Path) -> None:
    """A file let go over the header, which is part of every tab."""
    page.evaluate(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name, {type: "image/png"}));
            const event = new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true});
            document.querySelector("#header").dispatchEvent(event);
        }""",
        [file.name, base64.b64encode(file.read_bytes()).decode()],
    )
