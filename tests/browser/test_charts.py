"""Every chart as a browser draws it on a phone: nothing is cut, and nothing lies on something else."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sd3demo.plots.chart import page
from sd3demo.plots.studies import CHARTS as STUDIED
from tests.plots.test_charts import CHARTS
from tests.plots.test_studies import T5

pytestmark = pytest.mark.browser

PATIENCE = 240_000  # milliseconds: thirty charts on a machine that does other things beside
WIDTH = 328  # pixels: a phone of 360, less the page's margins
FAULTS = """() => [...document.querySelectorAll(".js-plotly-plot")].flatMap(chart => {
  const box = part => chart.querySelector(part)?.getBoundingClientRect();
  const all = chart.getBoundingClientRect();
  const parts = {heading: box(".gtitle"), source: box(".gtitle-subtitle"), upright: box(".annotation"),
    across: box(".xtitle"), legend: box(".legend")};
  for (const tick of chart.querySelectorAll(".xtick text, .ytick text"))
    if (tick.getBoundingClientRect().width) parts[`tick ${tick.textContent}`] = tick.getBoundingClientRect();
  for (const name of chart.querySelectorAll(".legendtext"))
    parts[`name ${name.textContent}`] = name.getBoundingClientRect();
  const beside = (p, q) => p.left < q.right - 1 && q.left < p.right - 1;
  const meet = (p, q) => beside(p, q) && p.top < q.bottom - 1 && q.top < p.bottom - 1;
  const names = Object.keys(parts).filter(name => parts[name]), said = [];
  const of = chart._fullLayout.uirevision;
  for (const name of names) {
    const {left, right, top, bottom} = parts[name];
    if (left < all.left - 1 || right > all.right + 1 || top < all.top - 1 || bottom > all.bottom + 1)
      said.push(`${of}: ${name} is cut`);
  }
  names.forEach((one, k) => names.slice(k + 1).forEach(other => {
    const inside = one === "legend" && other.startsWith("name ");
    const ticks = one.startsWith("tick ") && other.startsWith("tick ");  // aslant: only their boxes meet
    if (!inside && !ticks && meet(parts[one], parts[other])) said.push(`${of}: ${one} on ${other}`);
  }));
  if (chart._fullLayout._size.h < 120) said.push(`${of}: a plot of ${chart._fullLayout._size.h} pixels`);
  return said;
})"""


def test_nothing_of_a_chart_is_cut_or_lies_on_another_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    charts = [*CHARTS, STUDIED["t5-off"](T5), STUDIED["t5-off-soft"](T5)]
    file = tmp_path / "charts.html"
    plain = page(charts, "charts")
    narrow = plain.replace("max-width: 60rem; margin: 1rem auto", f"width: {WIDTH}px; margin: 0")
    assert narrow != plain
    file.write_text(narrow)
    shown = browser.new_page(viewport={"width": WIDTH, "height": 800})
    shown.goto(file.as_uri(), timeout=PATIENCE)
    assert shown.locator(".js-plotly-plot").count() == len(charts)
    assert shown.evaluate(FAULTS) == []
    shown.close()
