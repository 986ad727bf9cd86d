"""The density lab: what a move answers, what bad input gets, and what programs are told."""

import json
import re
from collections.abc import Iterator

import pytest
from gradio.components.plot import PlotData
from gradio_client import Client
from gradio_client.exceptions import AppError

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.flow.densities import LogitNormal
from sd3demo.flow.grids import CONVENTIONS, time_grid
from sd3demo.history import receipts_of
from sd3demo.settings import Request, parse
from sd3demo.ui import Core
from sd3demo.ui.controls import build
from sd3demo.ui.densities import schedule_table as schedule
from sd3demo.ui.densities import tab as densities
from sd3demo.ui.densities.settings import PRESETS, TITLES, DensitySettings, charts, named, planned
from tests.engine.runs import EXACT, exactly, run
from tests.ui.fake_page import Rehearsal, serving

CORE = Core(("sd3-medium",), Rehearsal().run)
SPEC = find("sd3-medium")


def held(**changed: object) -> list[object]:
    """What the controls hold."""
    values = {name: field.default for name, field in DensitySettings.model_fields.items()} | changed
    return [values[name] for name in densities.NAMES]


def answer(**changed: object) -> tuple[str, str, list[object]]:
    status, listing, *plots = densities.redrawn(CORE, *held(**changed))
    return str(status), str(listing), plots


def columns(listing: str) -> dict[str, list[float]]:
    """The table's columns by their headings, the marked one under 'used' too."""
    names = re.findall(r"<th scope='col'[^>]*>(\w+)", listing)[1:]
    rows = [re.findall(r"<td[^>]*>([\d.]+)</td>", row) for row in listing.split("<tr>")[2:]]
    found = {name: [float(row[k]) for row in rows] for k, name in enumerate(names)}
    used = [float(value) for value in re.findall(r"<td class='used'>([\d.]+)</td>", listing)]
    return found | {"used": used}


def test_every_setting_of_the_lab_has_its_control_and_every_moving_plot_its_place() -> None:
    assert sorted(name for part in densities.SECTIONS for name in part.settings) == sorted(
        DensitySettings.model_fields
    )
    assert list(charts(DensitySettings(), dict(SIGMAS))) == list(densities.MOVING)


SIGMAS = {name: time_grid(28, 3, name).tolist() for name in CONVENTIONS}


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"m": 1.0}, {"pdf", "cdf", "shifted", "log-snr", "weights", "steps"}),
        ({"densities": ["uniform"]}, {"pdf", "cdf", "shifted", "log-snr", "weights", "steps"}),
        ({"mode_s": 0.5}, {"pdf", "cdf", "shifted", "log-snr", "weights", "steps"}),
        ({"shift": 5.0}, {"shifted", "log-snr", "steps", "schedule", "tail"}),
        ({"steps": 10}, {"steps", "schedule", "tail"}),
        ({"trained_shifted": False}, {"steps"}),
        ({"pixels": 4}, set()),
    ],
)
def test_a_move_changes_the_plots_that_depend_on_it(change: dict[str, object], moves: set[str]) -> None:
    _, _, before = answer()
    status, _, after = answer(**change)
    assert status == ""
    moved = {name for name, a, b in zip(densities.MOVING, before, after, strict=True) if a != b}
    assert moved == moves


def test_a_plot_is_what_the_browser_can_draw() -> None:
    for plot in answer()[2]:
        assert isinstance(plot, PlotData)
        assert plot.type == "plotly"
        assert json.loads(plot.plot)["data"]


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"mode_s": 2}, r"Mode: scale s is 2; it must lie in \[-1, 1.75193839388\]"),
        ({"mode_s": -1.01}, "Mode: scale s is -1.01; it must lie in"),
        ({"s": 0}, r"Logit-normal: scale s is 0; it must lie in \[0.05, 5\]"),
        ({"s": -1}, "Logit-normal: scale s is -1; it must"),
        ({"shift": 0}, r"Shift α is 0; it must lie in \[0.1, 100\]"),
        ({"shift": -3}, "Shift α is -3; it must"),
        ({"steps": 0}, r"Steps is 0; it must lie in \[1, 100\]"),
        ({"steps": 2.5}, "Steps is 2.5; it must be a whole number"),
        ({"m": float("nan")}, "Logit-normal: location m is nan"),
        ({"pixels": None}, "Pixels m, after is empty; it must"),
        ({"densities": []}, "No density is chosen; tick one of Uniform"),
        ({"shift": 100, "schedule": "diffusers", "steps": 100}, ""),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_the_plots(bad: dict[str, object], sentence: str) -> None:
    status, _, plots = answer(**bad)
    if not sentence:
        assert status == ""
        return
    assert re.search(sentence, status)
    assert "Traceback" not in status
    assert not any(isinstance(plot, PlotData) for plot in plots)


@pytest.mark.parametrize("index", range(len(PRESETS)), ids=lambda index: PRESETS[index].variant)
def test_a_preset_is_laid_over_the_others_as_the_paper_names_it(index: int) -> None:
    shown, *numbers = densities.preset(index, ["uniform"])
    assert shown == [name for name in TITLES if name in {"uniform", PRESETS[index].values["density"]}]
    given = {k: v for k, v in zip(("m", "s", "mode_s"), numbers, strict=True) if isinstance(v, float)}
    printed = [float(number) for number in re.findall(r"-?\d+\.\d+", PRESETS[index].variant)]
    assert list(given.values()) == printed
    lab = DensitySettings.model_validate({"densities": shown, **given})
    assert len(named(lab)) == len(shown)


def test_the_presets_stand_in_the_order_of_their_rank() -> None:
    assert [one.rank for one in PRESETS] == sorted(one.rank for one in PRESETS)


def test_the_shift_of_two_sizes_is_that_of_eq_23() -> None:
    assert densities.shift_for(1024**2, 512**2) == 2.0
    assert not isinstance(densities.shift_for(None, 512**2), float)
    assert not isinstance(densities.shift_for(-4, 512**2), float)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_times_that_are_listed_are_those_that_the_plan_gives_the_sampler(convention: str) -> None:
    lab = DensitySettings.model_validate({"steps": 28, "shift": 3, "schedule": convention})
    request = Request(prompt="a", steps=28, shift=3, schedule=convention, model="sd3-medium")
    sigmas = plan(request, SPEC, Budget()).sigmas
    assert planned(lab, SPEC).sigmas == sigmas
    found = columns(answer(steps=28, shift=3, schedule=convention)[1])
    assert found["used"] == found[convention] == [float(f"{t:.4f}") for t in sigmas]
    assert set(found) - {"used"} == set(CONVENTIONS)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_times_that_are_listed_stand_in_the_runs_receipt(convention: str) -> None:
    request = exactly(steps=6, shift=3, schedule=convention)
    ran = run(request, EXACT)
    (receipt,) = receipts_of(ran.plan.request, ran.finished)
    told = schedule.conventions(ran.plan)
    assert list(told[convention]) == list(receipt.sigmas) == list(ran.finished.sigmas)
    assert [step.at.t for step in ran.steps] == list(told[convention][:-1])
    assert columns(schedule.listing(ran.plan))["used"] == [float(f"{t:.4f}") for t in receipt.sigmas]


def test_the_form_lists_the_times_of_its_own_run() -> None:
    values = build.opening(SPEC) | {"steps": 6, "shift": 2.5, "schedule": "comfy"}
    shown = columns(schedule.listed(CORE, *(values[name] for name in schedule.ASKED)))
    made = plan(parse(Request, values | {"prompt": "a red circle"}), SPEC, Budget())
    assert shown["used"] == [float(f"{t:.4f}") for t in made.sigmas]
    wrong = values | {"steps": 0}
    assert "Steps is 0; it must lie in [1, 100]" in schedule.listed(
        CORE, *(wrong[name] for name in schedule.ASKED)
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(CORE) as address:
        yield Client(address, verbose=False)


def test_a_program_gets_a_density_as_numbers(client: Client) -> None:
    got = client.predict("logit-normal", 0.5, 0.7, 3.0, 50, api_name="/densities")
    assert got["name"] == "logit-normal(0.5, 0.7)"
    assert {len(values) for name, values in got.items() if name != "name"} == {50}
    import torch

    t = torch.tensor(got["t"], dtype=torch.float64)
    torch.testing.assert_close(
        torch.tensor(got["pdf"], dtype=torch.float64),
        LogitNormal(0.5 + float(torch.log(torch.tensor(3.0))), 0.7).pdf(t),
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"density": "mode", "s": 2}, "s is 2; it must lie in [-1, 1.75193839388]"),
        ({"s": 0}, "s is 0; it must lie in [0.05, 5]"),
        ({"alpha": 0}, "alpha is 0; it must lie in [0.1, 100]"),
        ({"density": "beta"}, "unknown density 'beta'; choose one of uniform, logit-normal, mode, cosmap"),
        ({"points": 0}, "points is 0; it must lie in [1, 10000]"),
    ],
)
def test_a_program_is_told_in_one_sentence(client: Client, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(**given, api_name="/densities")
    assert str(refused.value) == sentence


def test_a_program_gets_the_schedule_of_a_model_or_its_own(client: Client) -> None:
    plain = client.predict(api_name="/schedule")
    assert plain["sigmas"] == list(plan(Request(prompt="a", model="sd3-medium"), SPEC, Budget()).sigmas)
    asked = client.predict(4, 2.0, "comfy", api_name="/schedule")
    assert asked["sigmas"] == time_grid(4, 2.0, "comfy").tolist()
    assert set(asked["others"]) == set(CONVENTIONS) - {"comfy"}
    larger = client.predict(shift="auto", width=2048, height=2048, api_name="/schedule")
    assert larger["shift"] == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 0}, "steps is 0; it must lie in [1, 100]"),
        ({"shift": 0}, "shift is 0; it must lie in [0.1, 100] or be auto"),
        (
            {"schedule": "karras"},
            "unknown schedule 'karras'; choose one of uniform, single, diffusers, linear, comfy",
        ),
        ({"model": "/etc"}, "unknown model '/etc'; choose one of sd3-medium"),
    ],
)
def test_a_bad_schedule_is_one_sentence(client: Client, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(**given, api_name="/schedule")
    assert str(refused.value) == sentence
