"""Each benchmark still runs, on a small model with a step or two: what it measures is for a quiet machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sd3demo.catalogue import find
from tests.bench import __main__ as pipelines
from tests.bench import grid, imax, page, waiting


def test_the_engine_is_measured_against_the_pipeline(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "CASES", {"one step": {"steps": 1, "cfg": 2}})
    for row in pipelines.rows(find(str(checkpoint("sd3.5-medium"))), "cpu", rounds=1):
        assert min(row.theirs, row.ours, row.ratio) > 0
        assert row.difference <= 1 / 255


def test_a_grid_is_measured_against_the_pipeline(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "GRIDS", {"steps by cfg": {"steps": (1, 2), "cfg": (1, 2)}})
    (row,) = grid.rows(find(str(checkpoint("sd3.5-medium"))), "cpu", rounds=1)
    assert min(row.theirs, row.ours, row.ratio) > 0
    assert row.difference <= 1 / 255


def test_runs_that_wait_are_measured_together_and_alone(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SIZES", (2, 3))
    monkeypatch.setattr(waiting, "CASES", {"one step": {"steps": 1, "cfg": 2}})
    found = list(waiting.rows(find(str(checkpoint("sd3.5-medium"))), "cpu", rounds=1))
    assert [row.count for row in found] == [2, 3]
    for row in found:
        assert min(row.alone, row.together, row.ratio) > 0
        assert row.difference <= 1 / 255


def test_projected_flow_is_measured_beside_its_network(capsys: pytest.CaptureFixture[str]) -> None:
    imax.report(side=128, rounds=1)
    assert "| haar" in capsys.readouterr().out


def test_the_page_is_measured_against_bare_gradio(capsys: pytest.CaptureFixture[str]) -> None:
    page.report(rounds=1)
    assert capsys.readouterr().out.count("\n| ") == 2
