"""A study in a real browser: it opens as recorded, runs, is stopped and resumed, and gives its table."""

import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sd3demo.engine import Engine, Plan
from sd3demo.history import RunStore
from sd3demo.settings import parse
from sd3demo.studies import results as recorded
from sd3demo.studies.study import Measured, find_study
from sd3demo.ui import Core
from tests.browser.tabs import open_tab
from tests.ui.fake_page import Rehearsal, serving

pytestmark = pytest.mark.browser

FIRST = 120_000  # milliseconds: torch, diffusers and plotly come in with the first cell


class HeldEngine(Engine):
    """An engine whose fourth run waits, so that a study is stopped there however long the press takes."""

    runs = 0
    held = False

    def run(self, plan: Plan, *, stop: Callable[[], bool] = bool, **more: Any) -> Any:
        self.runs += 1
        while self.held and self.runs > 3 and not stop():
            time.sleep(0.02)
        return super().run(plan, stop=stop, **more)


@pytest.fixture
def engine() -> HeldEngine:
    return HeldEngine()


@pytest.fixture
def page(
    browser: Browser,
    checkpoint: Callable[..., Path],
    engine: HeldEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Page]:
    """The page over a small model that really runs."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(recorded, "assets", lambda: tmp_path)
    core = Core(
        (str(checkpoint("sd3.5-medium")),), Rehearsal().run, RunStore(tmp_path / "runs"), lambda: engine
    )
    record(core)
    with serving(core) as address:
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#generate")
        open_tab(page, "Score")
        yield page
        context.close()
        assert errors == []


def record(core: Core) -> None:
    """A score that somebody measured, right in everything."""
    study = find_study("score")
    settings = parse(study.settings, {"model": core.models[0], "n": 1, "categories": "colours, single"})
    cells = study.cells(settings)
    raw = {"passed": True, "parts": {"shape": 1.0}}
    table = study.table(settings, [Measured(cell, raw, 1, len(cells), False, 0, 0) for cell in cells])
    file = recorded.place("score")
    file.parent.mkdir()
    file.write_text(json.dumps(recorded.result("score", settings, table)))


def test_a_study_runs_is_stopped_and_resumed(page: Page, engine: HeldEngine, tmp_path: Path) -> None:
    engine.held = True
    number = page.locator("#set-score-n input[type=number]")
    number.fill("2")
    number.press("Tab")
    run, status = page.locator("#study-score-run"), page.locator("#study-score-status")
    before, table = page.locator("#study-score-before"), page.locator("#study-score-table")
    expect(before).to_contain_text("Recorded result: n = 1, categories colours, single")
    expect(table.locator("tbody tr")).to_have_count(3)  # and their mean
    page.wait_for_selector("#plot-score .js-plotly-plot")
    run.click()
    expect(page.locator("#judged li").first).to_be_visible(timeout=FIRST)
    expect(status).to_contain_text("of 32")
    expect(before).to_be_hidden()
    page.click("#study-score-stop")
    expect(status).to_contain_text("Results are saved", timeout=FIRST)
    expect(run).to_contain_text("Resume")
    assert page.locator("#judged li").count() > 0

    engine.held = False
    run.click()
    expect(status).to_contain_text("32 measured", timeout=FIRST)
    expect(run).to_contain_text("Show results")
    page.wait_for_selector("#plot-score .js-plotly-plot")
    expect(table).to_contain_text("typography-trained")
    with page.expect_download() as download:
        page.locator("#study-score-csv").click()
    download.value.save_as(tmp_path / "score.csv")
    header, *rows = csv.reader((tmp_path / "score.csv").open())
    assert header[:3] == ["category", "score", "score error"]
    assert rows[-1][0] == "mean"


@pytest.mark.smoke
def test_a_study_below_is_built_when_it_is_looked_at_and_runs(page: Page) -> None:
    assert page.locator("#study-score-cfg-run").count() == 0
    page.click("#study-tab-score-cfg-button")
    run = page.locator("#study-score-cfg-run")
    expect(run).to_be_visible()
    expect(page.locator("#study-score-cfg-before")).to_contain_text("Press Run")
    for name, value in (("cfg", "1, 2"), ("categories", "colours")):
        box = page.locator(f"#set-score-cfg-{name} :is(input, textarea)")
        box.fill(value)
        box.press("Tab")
    run.click()
    expect(page.locator("#study-score-cfg-status")).to_contain_text("8 measured", timeout=FIRST)
    page.wait_for_selector("#plot-score-cfg .js-plotly-plot")
    expect(page.locator("#study-score-cfg-table")).to_contain_text("Score of")
