"""Every setting has its control, and what the controls hold is what was asked for."""

import math
from functools import partial
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from sd3demo.catalogue import CATALOGUE, ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.plan import resolve
from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS, Convention, shift, time_grid
from sd3demo.settings import Request, bounds_of, choices_of, parse
from sd3demo.ui.controls import form
from sd3demo.ui.controls.labels import FACES, HEADING, face, groups, typeset
from tests.ui.fake_page import write_model

FIELDS = list(Request.model_fields)
SPECS = [find(name) for name in CATALOGUE]


@pytest.mark.parametrize("name", ["tiny-3", "tiny-2"])
def test_a_model_to_compare_with_says_so_where_it_is_chosen(name: str) -> None:
    assert form.about_model(find(name)).endswith(", Apache-2.0. " + CATALOGUE[name].note)
    assert "to compare depths with." in form.about_model(find(name))
    assert form.about_model(find("tiny")).endswith(", Apache-2.0.")


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_stands_in_exactly_one_place(name: str) -> None:
    places = [*HEADING, *(field for group in groups() for field in group.fields)]
    assert places.count(name) == 1


def test_every_face_is_that_of_a_setting() -> None:
    assert set(FACES) <= set(FIELDS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("name", [name for name in FIELDS if name != "model"])
def test_a_control_offers_what_the_setting_allows(name: str, spec: ModelSpec) -> None:
    field, value = Request.model_fields[name], form.opening(spec)[name]
    control = form.control(name, value, spec)
    assert control.label
    assert control.info == typeset(field.description or "")
    assert control.value == value
    if isinstance(control, gr.Slider):
        low, high = bounds_of(field) or (0, 0)
        assert low <= control.minimum < control.maximum <= high
    elif isinstance(control, gr.Radio | gr.Dropdown):
        assert [choice for _, choice in control.choices] == list(choices_of(field))
    elif isinstance(control, gr.Number):
        assert bounds_of(field)
    else:
        assert not bounds_of(field)
        assert not choices_of(field)


def test_the_choice_of_a_model_says_which_are_not_on_this_disk(tmp_path: Path) -> None:
    here = str(write_model(tmp_path / "small"))
    control = form.model_control([here, "sd3-medium"])
    assert control.choices == [("small", here), ("sd3-medium (not on this disk)", "sd3-medium")]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_untouched_form_asks_for_what_the_untouched_settings_do(spec: ModelSpec) -> None:
    words = {"prompt": "a red circle"}
    shown = parse(Request, form.opening(spec) | words)
    plain = parse(Request, {"model": spec.name} | words)
    assert resolve(shown, spec, Budget()) == resolve(plain, spec, Budget())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_request_goes_through_the_form_unchanged(spec: ModelSpec) -> None:
    asked = {"prompt": "two <b>rings</b>", "model": spec.name, "shift": 40, "seed": 2**32 - 1, "t5": "empty"}
    request = resolve(parse(Request, asked), spec, Budget())
    assert parse(Request, form.held(request, spec)).model_dump() == request.model_dump()


def test_a_value_beyond_the_usual_range_widens_its_slider() -> None:
    update = form.filled("shift", 40.0, SPECS[0])
    assert (update["minimum"], update["maximum"]) == (0.1, 40.0)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("shape", form.SHAPES)
def test_a_shape_is_a_size_that_the_model_makes(shape: str, spec: ModelSpec) -> None:
    width, height = form.shaped(shape, spec)
    asked = {"prompt": "-", "model": spec.name, "width": width, "height": height}
    resolve(parse(Request, asked), spec, Budget())
    assert width * height == pytest.approx(spec.native**2, rel=0.15)
    across, down = form.SHAPES[shape]
    assert width / height == pytest.approx(across / down, rel=0.2)


@pytest.mark.parametrize(
    ("values", "greyed"),
    [
        ({}, set()),
        ({"cfg": 1}, {"negative", "cfg_from", "cfg_to"}),
        ({"clip_g": "zeros"}, {"prompt_2"}),
        ({"t5": "zeros"}, {"prompt_3"}),
        ({"t5": "omit"}, {"prompt_3", "max_sequence_length"}),
        ({"schedule": "linear"}, {"shift"}),
    ],
)
def test_what_changes_nothing_is_greyed_out_with_the_reason(values: dict, greyed: set[str]) -> None:
    reasons = form.dormant(form.opening(SPECS[1]) | {"cfg": 4} | values, SPECS[1])
    assert set(reasons) == greyed
    assert all(reason.endswith(".") for reason in reasons.values())


def test_a_model_without_t5_says_so_where_t5_is_set(tmp_path: Path) -> None:
    spec = find(str(write_model(tmp_path / "small", with_t5=False)))
    assert form.dormant(form.opening(spec), spec)["t5"].startswith("small comes without T5")


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize("steps", [2, 7, 28])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_equation_of_a_schedule_gives_its_times(name: Convention, steps: int, alpha: float) -> None:
    line = face("schedule").lines[name]
    assert f"<b>{name}</b>: {line}" in form.lines_of("schedule")
    equation = line.partition("<code>")[2].partition("</code>")[0]
    for sign, python in (("−", "-"), ("⌊", "floor("), ("⌋", ")"), (" k", " *k"), ("- *k", "- k")):
        equation = equation.replace(sign, python)
    given = {"S": partial(shift, alpha=alpha), "N": steps, "floor": math.floor}
    count = steps if ", then 0" in line else steps + 1
    times = [eval(equation, given | {"k": k}) for k in range(count)]
    np.testing.assert_allclose([*times, 0.0][: steps + 1], time_grid(steps, alpha, name), atol=1e-12)


def test_the_text_of_clip_l_is_told_where_the_others_are_set() -> None:
    assert "CLIP-L always reads the prompt" in form.help_of("prompt_2")


def test_each_meaning_of_t5_off_has_its_line() -> None:
    looks = face("t5")
    assert set(looks.lines) == {*choices_of(Request.model_fields["t5"])} - {"on"}
    lines = form.lines_of("t5")
    for choice, line in looks.lines.items():
        assert lines.count(f"<b>{looks.names[choice]}</b>: {line}") == 1
    assert form.lines_of("clip_l") == ""


def test_a_setting_that_nobody_placed_stands_in_the_last_group() -> None:
    *_, last = groups([*FIELDS, "brand_new"])
    assert last.fields[-1] == "brand_new"


@pytest.mark.parametrize(
    ("plain", "set_"),
    [
        ("v = v_uncond + cfg (v_cond - v_uncond)", "v = v_uncond + cfg (v_cond − v_uncond)"),
        ("t' = s t / (1 + (s - 1) t)", "t′ = s t / (1 + (s − 1) t)"),
        ("sqrt(pixels / native pixels)", "√(pixels / native pixels)"),
        ("the model's own, side-by-side", "the model's own, side-by-side"),
    ],
)
def test_help_has_the_signs_of_mathematics(plain: str, set_: str) -> None:
    assert typeset(plain) == set_


@pytest.mark.parametrize(
    ("width", "height", "shift"), [(1024, 1024, 3), (2048, 2048, 6), (512, 512, 1.5), (2048, 512, 3)]
)
def test_the_suggested_shift_is_that_of_equation_23(width: int, height: int, shift: float) -> None:
    assert form.suggested_shift(find("sd3-medium"), width, height) == shift


@pytest.mark.parametrize("width", ["", "x", 7, 1000.5, float("nan")])
def test_half_a_number_suggests_no_shift(width: object) -> None:
    with pytest.raises(Refusal):
        form.suggested_shift(find("sd3-medium"), width, 1024)
