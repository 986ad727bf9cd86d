"""axe-core over every tab, in both sizes and both lights: nothing that it calls serious or critical."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from sd3demo.ui.app import TABS
from tests.browser.tabs import open_tab

pytestmark = pytest.mark.browser

SETTLED = """async drawn => {
  const end = performance.now() + 240000;
  const empty = () => [...document.querySelectorAll(".frame")].filter(
    frame => frame.checkVisibility() && !frame.querySelector(".js-plotly-plot"));
  while (drawn && empty().length) {
    if (performance.now() > end) throw Error(`no chart came to ${empty()[0].querySelector("[id]").id}`);
    await new Promise(done => setTimeout(done, 50));
  }
  const moving = () => document.getAnimations().filter(
    one => one.playState === "running" && one.effect.getComputedTiming().endTime < Infinity);
  while (moving().length) await Promise.allSettled(moving().map(one => one.finished));
}"""
"""Each chart that comes by itself is drawn, and nothing fades: half faded, any colour is too pale."""

ASKED = """async rules => (await axe.run(
  {include: [["body"]], exclude: [['[role="tabpanel"][style*="display: none"]']]},
  {resultTypes: ["violations"], preload: false, ...(rules ? {runOnly: {type: "rule", values: rules}} : {})}
)).violations"""
"""axe on what stands open. What it would fetch first are style sheets of other places; there are none."""
OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""What another light can change."""
TRAINED = ("Flow lab",)  # its charts of the loss are folded away
GRAVE = ("serious", "critical")


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """What is grave on the page as it stands by these rules, or by all; a line for each place of it."""
    return [
        f"{found['impact']} {found['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for found in page.evaluate(ASKED, rules)
        if found["impact"] in GRAVE
        for node in found["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.phone
def test_no_tab_has_a_serious_violation_in_either_light(page: Page) -> None:
    page.evaluate(AXE_SCRIPT)
    found: dict[str, list[str]] = {}
    for title, _ in TABS:
        open_tab(page, title)
        for light in ("light", "dark"):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", light == "dark")
            page.evaluate(SETTLED, title not in TRAINED)
            for grave in violations(page, OF_COLOUR if light == "dark" else None):
                found.setdefault(grave, []).append(f"{title}, {light}")
    assert found == {}, "\n".join(f"{'; '.join(places)}: {grave}" for grave, places in found.items())


def test_axe_sees_what_is_wrong(page: Page) -> None:
    """A check of the check: pale words and a button without a name are both found."""
    page.evaluate(AXE_SCRIPT)
    page.evaluate("""() => document.querySelector("#header").insertAdjacentHTML(
      "beforeend", "<p style='color: #eee; background: #fff; order: 9'>too pale</p><button></button>")""")
    page.evaluate(SETTLED, True)
    found = {line.split(":")[0] for line in violations(page)}
    assert {"serious color-contrast", "critical button-name"} <= found
