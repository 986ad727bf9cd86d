"""Every setting has its control, and what the controls hold is what was asked for."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import gradio as gr
import numpy as np
import pytest
from pydantic import Field

from sd3demo.catalogue import CATALOGUE, ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.plan import resolve
from sd3demo.flow.grids import CONVENTIONS, Convention, shift, time_grid
from sd3demo.settings import (
    FILES,
    Request,
    Settings,
    bounds_of,
    choices_of,
    foreign_options,
    parse,
    without_effect,
)
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.studies.study import STUDIES, find_study
from sd3demo.ui.app import TABS
from sd3demo.ui.controls import build
from sd3demo.ui.controls.labels import (
    HEADING,
    LABELS,
    OF_CLASS,
    groups,
    help_of,
    label,
    lines_of,
    titles,
    typeset,
)
from sd3demo.ui.controls.model_choice import about_model
from tests.ui.fake_page import write_model

FIELDS = list(Request.model_fields)
SPECS = [find(name) for name in CATALOGUE]


@pytest.mark.parametrize("name", ["tiny-3", "tiny-2"])
def test_a_model_to_compare_with_says_so_where_it_is_chosen(name: str) -> None:
    assert about_model(find(name)).endswith(", Apache-2.0. " + CATALOGUE[name].note)
    assert "to compare depths with." in about_model(find(name))
    assert about_model(find("tiny")).endswith(", Apache-2.0.")


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_stands_in_exactly_one_place(name: str) -> None:
    places = [*HEADING, *(field for group in groups() for field in group.fields)]
    assert places.count(name) == 1


def test_every_setting_of_a_request_has_a_label_of_its_own() -> None:
    assert set(FIELDS) <= set(LABELS)


def test_every_class_with_labels_of_its_own_has_those_settings() -> None:

    assert TABS
    for name in STUDIES:
        find_study(name)  # its module defines the class of its settings
    kinds = {kind.__name__: kind for kind in _subclasses(Settings)}
    for name, labels in OF_CLASS.items():
        assert set(labels) <= set(kinds[name].model_fields), name


def _subclasses(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("model", *FILES)])
def test_a_control_offers_what_the_setting_allows(name: str, spec: ModelSpec) -> None:
    field, value = Request.model_fields[name], build.opening(spec)[name]
    control = build.control(name, value, spec=spec)
    assert control.label == label(name).title
    assert control.info == help_of(name)
    assert control.value == value
    if isinstance(control, gr.Slider):
        low, high = bounds_of(field) or (0, 0)
        assert low <= control.minimum < control.maximum <= high
    elif isinstance(control, gr.Dropdown) and control.allow_custom_value:
        assert set(choices_of(field)) < {choice for _, choice in control.choices}
        assert bounds_of(field)
    elif isinstance(control, gr.Radio | gr.Dropdown):
        assert [choice for _, choice in control.choices] == list(choices_of(field))
    elif isinstance(control, gr.Number):
        assert bounds_of(field)
    else:
        assert not bounds_of(field)
        assert not choices_of(field)


def test_the_choice_of_a_model_says_which_are_not_on_this_disk(tmp_path: Path) -> None:
    here = str(write_model(tmp_path / "small"))
    control = build.control("model", here, models=[here, "sd3-medium"])
    assert control.choices == [("small", here), ("sd3-medium (not on this disk)", "sd3-medium")]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_untouched_form_asks_for_what_the_untouched_settings_do(spec: ModelSpec) -> None:
    words = {"prompt": "a red circle"}
    shown = parse(Request, build.opening(spec) | words)
    plain = parse(Request, {"model": spec.name} | words)
    assert resolve(shown, spec, Budget()) == resolve(plain, spec, Budget())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_request_goes_through_the_form_unchanged(spec: ModelSpec) -> None:
    asked = {"prompt": "two <b>rings</b>", "model": spec.name, "shift": 40, "seed": 2**32 - 1}
    asked |= {"t5": "empty"} if any(each.name == "t5" for each in spec.encoders) else {}
    request = resolve(parse(Request, asked), spec, Budget())
    again = parse(Request, build.values_of(request, spec)).model_dump()
    assert again == {name: getattr(request, name) for name in again}


def test_a_value_beyond_the_usual_range_widens_its_slider() -> None:
    update = build.update("shift", 40.0, SPECS[0])
    assert (update["minimum"], update["maximum"]) == (0.1, 40.0)


@pytest.mark.parametrize(
    ("values", "greyed"),
    [
        ({}, set()),
        ({"cfg": 1}, {"negative", "uncond", "cfg_from", "cfg_to"}),
        ({"uncond": "zeros"}, {"negative"}),
        ({"clip_g": "zeros"}, {"prompt_2"}),
        ({"t5": "zeros"}, {"prompt_3", "large_encoder"}),
        ({"t5": "omit"}, {"prompt_3", "max_sequence_length", "large_encoder"}),
        ({"schedule": "linear"}, {"shift"}),
        ({"skip_scale": 0}, {"skip_layers", "skip_from", "skip_to"}),
    ],
)
def test_what_changes_nothing_is_greyed_out_with_the_reason(values: dict, greyed: set[str]) -> None:
    reasons = without_effect(build.opening(SPECS[1]) | {"cfg": 4, "skip_scale": 1} | values, SPECS[1])
    assert set(reasons) - foreign_options(SPECS[1]).keys() == greyed
    assert all(reason.endswith(".") for reason in reasons.values())


def test_a_model_without_t5_says_so_where_t5_is_set(tmp_path: Path) -> None:
    spec = find(str(write_model(tmp_path / "small", with_t5=False)))
    assert without_effect(build.opening(spec), spec)["t5"].startswith("This model comes without T5")


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize("steps", [2, 7, 28])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_equation_of_a_schedule_gives_its_times(name: Convention, steps: int, alpha: float) -> None:
    line = label("schedule").lines[name]
    assert f"<b>{name}</b>: {line}" in lines_of("schedule")
    equation = line.partition("<code>")[2].partition("</code>")[0]
    for sign, python in (("−", "-"), ("⌊", "floor("), ("⌋", ")"), (" k", " *k"), ("- *k", "- k")):
        equation = equation.replace(sign, python)
    given = {"S": partial(shift, alpha=alpha), "N": steps, "floor": math.floor}
    count = steps if ", then 0" in line else steps + 1
    times = [eval(equation, given | {"k": k}) for k in range(count)]
    np.testing.assert_allclose([*times, 0.0][: steps + 1], time_grid(steps, alpha, name), atol=1e-12)


def test_the_text_of_clip_l_is_told_where_the_others_are_set() -> None:
    assert "CLIP-L always reads the prompt" in help_of("prompt_2")


def test_each_meaning_of_t5_off_has_its_line() -> None:
    looks = label("t5")
    assert set(looks.lines) == {*choices_of(Request.model_fields["t5"])} - {"on"}
    lines = lines_of("t5")
    for choice, line in looks.lines.items():
        assert lines.count(f"<b>{looks.names[choice]}</b>: {line}") == 1


def test_a_setting_that_nobody_placed_stands_in_the_last_group() -> None:
    *_, last = groups([*FIELDS, "brand_new"])
    assert last.fields[-1] == "brand_new"


class Grown(Request):
    """Settings of a release to come."""

    sharpness: float = Field(0.5, ge=0, le=1, description="One field more.")
    tiled: bool = Field(False, description="A switch.")
    extra: tuple[Literal["one", "two"], ...] = Field(("one",), description="Several of a few.")


@pytest.mark.parametrize(
    ("name", "kind"), [("sharpness", gr.Slider), ("tiled", gr.Checkbox), ("extra", gr.CheckboxGroup)]
)
def test_a_new_field_has_a_control_of_its_kind_with_its_own_words(name: str, kind: type) -> None:
    field = Grown.model_fields[name]
    control = build.control(name, field.default, kind=Grown, spec=SPECS[0])
    assert isinstance(control, kind)
    assert (control.label, control.info) == (name.capitalize(), field.description)
    assert name in titles(Grown)


def test_a_setting_with_suggestions_takes_other_values_too() -> None:
    control = build.control("cutoff", 0.125, kind=Extrapolation)
    assert isinstance(control, gr.Dropdown)
    assert control.allow_custom_value
    assert control.value == "0.125"


def test_a_class_may_call_a_setting_otherwise_and_those_that_inherit_from_it_do_too() -> None:
    class Inherited(Extrapolation):
        """Of the same settings."""

    assert label("width", Inherited).typed
    assert not label("width", Request).typed
    assert isinstance(build.control("width", 128, kind=Inherited), gr.Number)


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
