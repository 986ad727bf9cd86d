"""Each benchmark still runs, on a small model with a step or two: what it measures is for a quiet machine."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from sd3demo.catalogue import CATALOGUE, FluxShape, MMDiTShape, ModelSpec, find
from tests.bench import __main__ as pipelines
from tests.bench import full_size, grid, imax, page, waiting


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


@pytest.mark.slow
def test_projected_flow_is_measured_beside_its_network(capsys: pytest.CaptureFixture[str]) -> None:
    imax.report(side=128, rounds=1)
    assert "| haar" in capsys.readouterr().out


def small(name: str) -> ModelSpec:
    """A model of the catalogue with a small network of its family."""
    spec = CATALOGUE[name]
    network: MMDiTShape | FluxShape = MMDiTShape(2, 16, 2, joint_dim=12, pooled_dim=8, table=16)
    if name == "flux-dev":
        network = FluxShape(2, 2, 32, 2, joint_dim=12, pooled_dim=8, axes=(4, 6, 6))
    encoders = tuple(replace(each, tokens=min(each.tokens, 6)) for each in spec.encoders)
    return replace(spec, network=network, encoders=encoders)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd3-medium", "flux-dev"])
def test_networks_of_a_size_are_measured_apart_in_diffusers_columns(name: str) -> None:
    given = {name: small(name)}
    found = list(
        full_size.table(given, torch.device("cpu"), side=64, runs=1, steps=3, matmul=64, compiled=False)
    )
    assert [row.scenario.removeprefix(f"{name} ") for row in found[:3]] == [
        "decode",
        "denoise, diffusers",
        "denoise, sd3demo",
    ]
    assert len(found) == (4 if name == "flux-dev" else 3)  # diffusers has no first-block cache for SD3
    for row in found[:3]:
        assert row.time_plain_s is not None
        assert row.time_plain_s > 0
        assert row.time_compile_s is None  # what was not measured is left empty
        assert row.mem_plain_GB is None
    theirs, ours = found[1:3]
    assert theirs.predicted_GB == ours.predicted_GB
    assert [field.name for field in fields(full_size.CsvRow)][:10] == [
        *("scenario", "model_cls", "num_params_B", "flops_G", "time_plain_s", "mem_plain_GB"),
        *("time_compile_s", "mem_compile_GB", "fullgraph", "mode"),
    ]


def test_the_page_is_measured_against_bare_gradio(capsys: pytest.CaptureFixture[str]) -> None:
    page.report(rounds=1)
    assert capsys.readouterr().out.count("\n| ") == 2
