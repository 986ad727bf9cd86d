"""axe-core over every tab, in both sizes and both lights: nothing that it calls serious or critical."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from sd3demo.ui.page import TABS
from tests.browser.tabs import open_tab

pytestmark = pytest.mark.browser

ASKED = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
GRAVE = ("serious", "critical")


def violations(page: Page) -> list[str]:
    """What is grave on the page as it stands, a line for each kind, with the first place of it."""
    return [
        f"{found['impact']} {found['id']}: {found['help']} ({len(found['nodes'])} x, such as "
        f"{found['nodes'][0]['html'][:160]})"
        for found in page.evaluate(ASKED)
        if found["impact"] in GRAVE
    ]


@pytest.mark.parametrize("light", ["light", "dark"])
def test_no_tab_has_a_serious_violation(page: Page, light: str) -> None:
    page.evaluate(AXE_SCRIPT)
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", light == "dark")
    page.wait_for_timeout(700)  # colours change in passing
    found: dict[str, list[str]] = {}
    for title, _ in TABS:
        open_tab(page, title)
        page.wait_for_timeout(300)
        for grave in violations(page):
            found.setdefault(grave, []).append(title)
    assert found == {}, "\n".join(f"{', '.join(tabs)}: {grave}" for grave, tabs in found.items())
