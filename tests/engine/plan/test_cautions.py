"""Settings that are allowed and seldom meant are remarked on by the plan."""

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import Budget, plan
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import Extrapolation


def notes(model: str, **settings: object) -> str:
    request = Request.model_validate({"prompt": "a", "model": model, **settings})
    return "\n".join(plan(request, CATALOGUE[model], Budget()).notes)


@pytest.mark.parametrize("name", ["prompt", "prompt_2", "prompt_3", "negative"])
@pytest.mark.parametrize("text", ["a (red:1.3) ring", "(a ring: 2)", "x (two words:0.75), y"])
def test_weights_on_words_are_said_to_be_plain_text(name: str, text: str) -> None:
    assert (
        f"{name} has ({text.partition('(')[2].partition(')')[0]}); no weights on words are applied"
        in notes("sd3-medium", **{name: text})
    )


@pytest.mark.parametrize("text", ["a ring (red)", "at 10:30 (noon)", "ratio 1:2"])
def test_other_brackets_and_colons_are_not(text: str) -> None:
    assert "no weights on words" not in notes("sd3-medium", prompt=text)


@pytest.mark.parametrize(
    ("model", "said"), [("sd3.5-medium", False), ("sd3.5-large", True), ("sd3-medium", True)]
)
def test_layers_skipped_in_a_model_that_was_not_released_so_are_remarked_on(model: str, said: bool) -> None:
    found = notes(model, skip_scale=2.8, skip_layers="7,8,9")
    assert ("skip-layer guidance is SD3.5-medium's" in found) == said
    assert "skip-layer" not in notes(model)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "super-resolution"])
def test_a_method_at_the_native_size_is_said_to_enlarge_nothing(method: str) -> None:
    for scale, said in ((1, True), (2, False)):
        request = Extrapolation(prompt="a", model="sd3-medium", method=method, scale=scale)
        made = plan(request, CATALOGUE["sd3-medium"], Budget())
        assert any(f"so {method} enlarges nothing" in note for note in made.notes) == said
