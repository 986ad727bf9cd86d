"""Options by family: flat in a request, refused and idle where a model's family does not have them."""

import pytest

from sd3demo.catalogue import CATALOGUE, find
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import OPTIONS, Request, foreign_options, options_of, without_effect
from sd3demo.settings.extrapolation import Extrapolation, lacking, preset_of

MODELS = tuple(CATALOGUE)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_every_family_stands_in_a_request(name: str) -> None:
    options = OPTIONS[name].model_fields  # type: ignore[index]
    assert options.keys() <= Request.model_fields.keys()
    for field in options:
        assert Request.model_fields[field].default == options[field].default


@pytest.mark.parametrize("name", MODELS)
def test_what_only_other_families_have_is_idle_with_the_reason(name: str) -> None:
    spec = find(name)
    resolved = resolve(Request(prompt="a", model=name), spec, Budget())
    reasons = without_effect(resolved.model_dump(), spec)
    foreign = foreign_options(spec)
    assert foreign
    assert {reasons[field] for field in foreign} == {f"{spec.family_title} has no such setting."}


@pytest.mark.parametrize("name", ["tiny", "flux-dev"])
def test_what_only_other_families_have_is_refused_if_it_is_set(name: str) -> None:
    spec = find(name)
    values = {"guidance": 3.5} if spec.family == "sd3" else {"prompt_2": "b"}
    with pytest.raises(Refusal, match="has no such setting: leave it out, or choose"):
        options_of(Request.model_validate({"prompt": "a", "model": name, **values}), spec)


@pytest.mark.parametrize("name", MODELS)
def test_what_a_network_lacks_is_neutral_by_default(name: str) -> None:
    for field, (neutral, reason) in lacking(find(name)).items():
        assert Extrapolation.model_fields[field].default == neutral
        assert reason


def test_presets_of_a_family_stand_over_the_shared_ones() -> None:
    shared, flux = preset_of("release"), preset_of("release", "flux")
    assert flux.items() >= {"rope_base": 10.0, "large_guidance": 7.0, "shift": 3.0}.items()
    assert {name for name in shared if flux[name] != shared[name]} == set()
    assert preset_of("tuned", "flux") == preset_of("tuned")
