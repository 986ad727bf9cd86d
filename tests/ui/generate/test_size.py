"""A shape is a size that the model makes, and a size has its shift."""

import pytest

from sd3demo.catalogue import CATALOGUE, ModelSpec, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.plan import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.ui.generate.size import SHAPES, recommended_shift, size_of_shape

SPECS = [find(name) for name in CATALOGUE]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_a_size_that_the_model_makes(shape: str, spec: ModelSpec) -> None:
    width, height = size_of_shape(shape, spec)
    asked = {"prompt": "-", "model": spec.name, "width": width, "height": height}
    resolve(parse(Request, asked), spec, Budget())
    assert width * height == pytest.approx(spec.native**2, rel=0.15)
    across, down = SHAPES[shape]
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
