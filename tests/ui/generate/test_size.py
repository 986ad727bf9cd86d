"""A shape is a size that the model makes, and a size has its shift."""

import pytest

from sd3demo.catalogue import CATALOGUE, ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.plan import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.ui.generate.size import (
    SHAPES,
    recommended_shift,
    shape_choices,
    shape_of_size,
    size_of_shape,
)

SPECS = [find(name) for name in CATALOGUE]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_a_size_that_the_model_makes(shape: str, spec: ModelSpec) -> None:
    width, height = size_of_shape(shape, spec)
    asked = {"prompt": "-", "model": spec.name, "width": width, "height": height}
    resolve(parse(Request, asked), spec, Budget())
    assert width * height == pytest.approx(spec.native**2, rel=0.15)
    across, down = map(int, shape.split(":"))
    assert width / height == pytest.approx(across / down, rel=0.2)


@pytest.mark.parametrize(
    ("width", "height", "shift"), [(1024, 1024, 3), (2048, 2048, 6), (512, 512, 1.5), (2048, 512, 3)]
)
def test_the_recommended_shift_is_that_of_equation_23(width: int, height: int, shift: float) -> None:
    assert recommended_shift(find("sd3-medium"), width, height) == shift


@pytest.mark.parametrize("width", ["", "x", 7, 1000.5, float("nan")])
def test_half_a_number_has_no_shift(width: object) -> None:
    with pytest.raises(Refusal):
        recommended_shift(find("sd3-medium"), width, 1024)


def test_any_ratio_and_any_size_can_be_typed() -> None:
    spec = find("sd3-medium")
    assert size_of_shape("1:1", spec) == (1024, 1024)
    assert size_of_shape(" 5 / 2 ", spec) == (1616, 640)
    assert size_of_shape("2.35:1", spec) == size_of_shape("235:100", spec)
    assert size_of_shape("768 x 512", spec) == size_of_shape("770×505", spec) == (768, 512)
    assert shape_of_size(spec, 768, 512) == "768 x 512"
    assert shape_of_size(spec, *size_of_shape("21:9", spec)) == "21:9"


@pytest.mark.parametrize("shape", ["", "wide", "0:1", "9:1", "1:8.1", "16", "1:1:1", "-1:2", "1e3:1"])
def test_what_is_no_shape_is_one_sentence(shape: str) -> None:
    with pytest.raises(Refusal, match=r"shape is '.*'; give a ratio up to 8:1 such as 21:9, or a size"):
        size_of_shape(shape, find("sd3-medium"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_choice_says_its_size(spec: ModelSpec) -> None:
    for title, shape in shape_choices(spec):
        width, height = size_of_shape(shape, spec)
        assert title.endswith(f"{width} × {height}")
