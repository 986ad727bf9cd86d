"""Every study on a model whose answers are known: its table, its rows run again, and what it draws."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.engine import Budget, Engine, plan
from sd3demo.errors import Refusal
from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.grids import time_grid
from sd3demo.flow.path.lengths import path_length
from sd3demo.flow.solvers import SOLVERS
from sd3demo.models.exact import COLOURS, EXACT, SPREAD
from sd3demo.plots.chart import Chart, figure, figure_json
from sd3demo.plots.studies import CHARTS
from sd3demo.settings import choices_of, parse
from sd3demo.studies.exam_pictures import plan_of
from sd3demo.studies.few_steps import calls_of, steps_within
from sd3demo.studies.statistics import error, rate_error, ratio
from sd3demo.studies.study import STUDIES, Measured, Table, find_study, run
from tests.studies.conftest import POINT, exact

LITTLE: dict[str, dict[str, object]] = {
    "path-length": {"values": "3, 6", "n": 1},
    "velocity-loss": {"n": 3, "scales": "1, 2"},
    "few-steps": {"n": 1, "budgets": "5, 9", "categories": "colours, single"},
    "score": {"n": 2, "categories": "colours, typography", "steps": 3},
    "score-steps": {"n": 2, "categories": "colours, single", "steps": "2, 5"},
    "score-cfg": {"n": 2, "categories": "colours", "cfg": "1, 3", "steps": 3},
    "score-shift": {"n": 1, "categories": "colours, two", "shift": "1, 3", "scales": "1, 2", "steps": 3},
    "t5-off": {"n": 1, "categories": "colours, typography", "t5": "on, zeros", "steps": 3},
    "depth": {"n": 1, "categories": "colours, single", "models": "exact, straight", "scenes": 2, "steps": 3},
    "race": {
        "n": 1,
        "formulations": "paths",
        "plane_data": "clusters",
        "budgets": "2, 5",
        "training_steps": 10,
    },
    "imax-ablation": {"n": 2, "categories": "colours", "scales": "2", "steps": 3, "large_steps": 2},
    "imax-methods": {"n": 1, "categories": "colours, single", "scales": "2", "steps": 3, "large_steps": 2},
    "imax-scale": {"n": 1, "categories": "colours, single", "scales": "2, 4", "steps": 3, "large_steps": 2},
    "imax-steps": {"n": 1, "categories": "colours, two", "scales": "2", "steps": 3, "counts": "1, 3"},
}
"""Settings of each study that take a moment."""
every_study = pytest.mark.parametrize("name", [name for name in STUDIES if name in LITTLE])
every_study_of_a_model = pytest.mark.parametrize(
    "name", [name for name in LITTLE if "model" in find_study(name).settings.model_fields]
)


def little(name: str, **changed: object) -> dict[str, object]:
    of_model = {"model": "exact"} if "model" in find_study(name).settings.model_fields else {}
    return {**of_model, **LITTLE[name], **changed}


def result(name: str, **changed: object) -> tuple[list[Measured], Table]:
    study = find_study(name)
    settings = parse(study.settings, little(name, **changed))
    *measured, table = run(study, settings, Engine(exact), None)
    assert isinstance(table, Table)
    return [one for one in measured if isinstance(one, Measured)], table


@pytest.mark.parametrize("name", STUDIES)
def test_a_setting_of_a_study_names_each_choice_once_and_its_own_default(name: str) -> None:
    for field in find_study(name).settings.model_fields.values():
        assert len(set(choices_of(field))) == len(choices_of(field))
        if field.default is not None:
            assert "own by default" not in (field.description or "")
            assert "own number by default" not in (field.description or "")


@cache
def once(name: str) -> Table:
    return result(name)[1]


@every_study
def test_a_table_is_whole_and_can_be_written_down(name: str) -> None:
    table = once(name)
    assert table.study == name
    assert table.rows
    assert table.caption
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert all(len(row.values) == len(names) for row in table.rows)
    assert json.loads(json.dumps([row.values for row in table.rows])) == [list(r.values) for r in table.rows]
    for row in table.rows:
        errors = [v for n, v in zip(names, row.values, strict=True) if n.endswith("error") and v is not None]
        assert all(value >= 0 for value in errors)


@every_study
def test_each_row_comes_again_from_the_settings_that_it_names(name: str) -> None:
    table, study = once(name), find_study(name)
    for row in {json.dumps(row.again, sort_keys=True): row for row in table.rows}.values():
        settings = parse(study.settings, row.again)
        *_, again = run(study, settings, Engine(exact), None)
        assert isinstance(again, Table)
        assert row.values in [other.values for other in again.rows]


@every_study
def test_any_first_part_of_the_cells_makes_a_table_and_charts(name: str) -> None:
    study = find_study(name)
    settings = parse(study.settings, little(name))
    measured = [one for one in run(study, settings, Engine(exact), None) if isinstance(one, Measured)]
    for count in (1, len(measured) // 2 or 1):
        table = study.table(settings, measured[:count])
        assert table.rows
        for chart in study.charts:
            figure(CHARTS[chart](table))


@every_study
def test_every_chart_of_a_study_is_drawn_from_its_table_alone(name: str) -> None:
    for chart_name in find_study(name).charts:
        chart = CHARTS[chart_name](once(name))
        assert isinstance(chart, Chart)
        assert chart.curves
        assert any(np.isfinite(curve.y).any() for curve in chart.curves)
        assert max(len(chart.title), len(chart.source)) <= 52
        drawn, sent = json.loads(figure(chart).to_json()), json.loads(figure_json(chart))
        assert drawn["data"] == sent["data"]


@every_study_of_a_model
def test_what_a_model_cannot_do_is_refused_before_anything_is_measured(name: str) -> None:
    study = find_study(name)
    with pytest.raises(Refusal, match="unknown model 'zebra'"):
        study.cells(parse(study.settings, {**LITTLE[name], "model": "zebra", **_other_models(name)}))
    with pytest.raises(Refusal, match="n is 0; it must lie in"):
        parse(study.settings, {"n": 0})


def _other_models(name: str) -> dict[str, object]:
    return {"models": "zebra"} if name == "depth" else {}


def test_a_straight_flow_is_as_long_as_its_chord() -> None:
    measured, table = result("path-length", model="straight")
    for one in measured:
        assert one.raw["length"] == pytest.approx(one.raw["chord"], rel=1e-6)
    assert all(value == pytest.approx(1, abs=1e-6) for value in table.column("straightness"))
    assert table.column("bound") == (pytest.approx((2 * 3 * 16 * 16) ** 0.5),) * 2


@pytest.mark.slow
def test_a_mixtures_length_is_that_of_a_fine_integration() -> None:
    """Without guidance and with an empty-handed prompt the exact model's data are the whole mixture."""
    measured, _ = result("path-length", values="100", solver="rk4", cfg=1, categories="typography", n=3)
    for one in measured:
        made = plan_of(one.cell.given)
        named = [colour for word, colour in COLOURS.items() if word in made.request.prompt]
        seeded = torch.Generator().manual_seed(made.request.seed)
        noise = torch.randn((1, 3, 16, 16), generator=seeded).double()
        components = tuple(
            Gaussian(_flat(colour).expand(noise.shape[1:]), SPREAD) for colour in named or COLOURS.values()
        )
        data = Mixture((1 / len(components),) * len(components), components)
        fine = path_length(SOLVERS["rk4"](data.velocity, noise, time_grid(1000)))
        assert one.raw["length"] == pytest.approx(float(fine.length), rel=1e-3)
        assert one.raw["length"] > one.raw["chord"]


def _flat(colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour, dtype=torch.float64)[:, None, None]


def test_the_loss_of_a_straight_model_is_known_exactly() -> None:
    """v - (eps - x0) = (x0 - mu) / t, whatever the noise."""
    from sd3demo.studies.velocity_loss import LEVELS, drawn
    from sd3demo.world.render import render

    measured, _ = result("velocity-loss", model="straight")
    for one in measured:
        scene, _ = drawn(one.cell.given["scene"])
        x0 = render([scene], plan_of(one.cell.given).request.width).double() * 2 - 1
        away = float((x0 - POINT).square().mean())
        assert one.raw["losses"] == pytest.approx([away / t**2 for t in LEVELS], rel=1e-4)


def test_the_mean_loss_leaves_out_the_last_level() -> None:
    table = once("velocity-loss")
    rows = [row for row in table.rows if row.values[0] == 1]
    losses = [row.values[3] for row in rows]
    assert [row.values[2] for row in rows] == [*(k / 8 for k in range(1, 9)), "mean"]
    assert losses[-1] == pytest.approx(np.mean(losses[:7]))
    assert [row.values[5] for row in rows] == [1.0] * 9


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("budget", [1, 2, 5, 9, 10, 13, 20])
def test_no_solver_asks_more_often_than_its_budget(solver: str, budget: int) -> None:
    steps = steps_within(solver, budget)
    assert calls_of(solver, steps) <= budget
    assert calls_of(solver, steps + 1) > budget
    if budget in (5, 9, 13):
        assert calls_of(solver, steps) == budget


def test_the_reference_is_no_distance_from_itself_and_fewer_calls_are_farther() -> None:
    table = once("few-steps")
    first, *others = table.rows
    names = [column.name for column in table.columns]
    latent, budget = names.index("latent"), names.index("budget")
    assert (first.values[latent], first.values[budget]) == (0.0, 50)
    euler = [row.values[latent] for row in others if row.values[1] == "euler"]
    assert euler[0] > euler[1] > 0


def test_the_pictures_are_those_that_generate_makes() -> None:
    measured, _ = result("score", categories="colours", n=2)
    pictures = [one for one in measured if "picture" in one.raw]
    assert [plan_of(one.cell.given).request.seed for one in pictures] == [0, 1]
    again = plan(plan_of(pictures[1].cell.given).request, EXACT, Budget())
    *_, finished = Engine(exact).run(again)
    assert pictures[1].raw["length"] == finished.path_length[0]


def test_errors_are_those_of_the_textbook() -> None:
    assert error([1.0, 2.0, 3.0, 4.0]) == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)
    assert error([1.0]) is None
    assert rate_error(0.25, 12) == pytest.approx(0.125)
    above, below = [2.0, 4.0, 6.0], [1.0, 2.0, 3.0]
    assert ratio(above, below) == (2.0, 0.0)
    rng = np.random.default_rng(0)
    b = rng.normal(5, 0.5, 400)
    a = 2 * b + rng.normal(0, 0.3, 400)
    found, spread = ratio(list(a), list(b))
    draws = [rng.integers(0, 400, 400) for _ in range(2000)]
    assert spread == pytest.approx(np.std([a[d].mean() / b[d].mean() for d in draws]), rel=0.1)
    assert found == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("path-length", {"values": "2, x"}, "values is '2, x'; give numbers with commas between"),
        ("path-length", {"values": "500"}, r"steps is 500; it must lie in \[1, 100\]"),
        ("path-length", {"along": "t5", "values": "off"}, "unknown t5 'off'; choose one of on, zeros"),
        ("path-length", {"along": "depth"}, "unknown along 'depth'; choose one of steps, shift, cfg"),
        ("score-steps", {"steps": "5,,7"}, "steps is '5,,7'; give values with commas between"),
        ("score-steps", {"steps": "0, 5"}, r"steps holds '0'; give whole numbers in \[1, 100\]"),
        ("score-steps", {"steps": "2.5"}, r"steps holds '2.5'; give whole numbers in \[1, 100\]"),
        ("score-cfg", {"cfg": "nan"}, r"cfg holds 'nan'; give numbers in \[1, 30\]"),
        ("score-shift", {"shift": "0"}, r"shift holds '0'; give numbers in \[0.1, 100\]"),
        ("score-shift", {"scales": "0.5"}, r"scales holds '0.5'; give numbers in \[1, 8\]"),
        ("score-shift", {"scales": "1.3", "model": "tiny"}, "width is 83; tiny makes sides that divide by 8"),
        ("t5-off", {"t5": "on, off"}, "t5 holds 'off'; choose one or several of on, zeros, omit, empty"),
        ("few-steps", {"solvers": "euler, rk5"}, "solvers holds 'rk5'; choose one or several of euler"),
        ("score", {"categories": "zebras"}, "unknown category 'zebras'; choose one or several of single"),
        ("score", {"shift": 0}, r"shift is 0; it must lie in \[0.1, 100\] or be auto"),
        ("velocity-loss", {"scales": "1, 99"}, r"scales holds '99'; give numbers in \[1, 8\]"),
        (
            "score-steps",
            {"steps": ",".join(map(str, range(1, 20)))},
            "steps holds 19 values; give at most 12",
        ),
    ],
)
def test_bad_input_is_one_sentence(name: str, settings: dict, sentence: str) -> None:
    study = find_study(name)
    with pytest.raises(Refusal, match=sentence) as refused:
        study.cells(parse(study.settings, {"model": "exact"} | settings))
    assert "\n" not in str(refused.value)
