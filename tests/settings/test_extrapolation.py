"""Settings of an extrapolation: refused with a sentence, resolved without a gap, the same after JSON."""

import json

import pytest

from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.lowpass import LOW_PASSES
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.flow.extrapolation.strengths import STRENGTHS
from sd3demo.flow.extrapolation.tuning import ATTENTION, BASES, POSITIONS
from sd3demo.settings import Request, Resolved, bounds_of, choices_of, identity, parse
from sd3demo.settings.extrapolation import (
    COMPARED,
    PRESETS,
    Extrapolation,
    LowPassName,
    ResolvedExtrapolation,
    method_arms,
    preset_of,
    with_preset,
)
from tests.paper_tables import PAPER_TABLES

OWN = {name: field for name, field in Extrapolation.model_fields.items() if name not in Request.model_fields}
BOUNDED = {name: bounds for name, field in OWN.items() if (bounds := bounds_of(field))}
CHOSEN = {name: names for name, field in OWN.items() if (names := choices_of(field)) and name not in BOUNDED}


def refusal(**values: object) -> str:
    with pytest.raises(Refusal) as caught:
        parse(Extrapolation, {"prompt": "a circle"} | values)
    return str(caught.value)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("given", ["below", "above", "nan", "inf", "many"])
def test_a_number_out_of_range_is_named_with_its_range(name: str, given: str) -> None:
    low, high = BOUNDED[name]
    value = {"below": f"{low - 1:.12g}", "above": f"{high + 1:.12g}"}.get(given, given)
    sentence = refusal(**{name: value})
    assert sentence.startswith(f"{name} is {value}; it must ")
    assert f"[{low:.12g}, {high:.12g}]" in sentence


@pytest.mark.parametrize("name", CHOSEN)
def test_an_unknown_choice_is_answered_with_all_of_them(name: str) -> None:
    assert refusal(**{name: "zzz"}).startswith(
        f"unknown {name} 'zzz'; choose one of {', '.join(CHOSEN[name])}"
    )


def test_the_choices_are_those_of_the_registries() -> None:
    assert CHOSEN["method"] == tuple(METHODS)
    assert CHOSEN["strength"] == tuple(STRENGTHS)
    assert CHOSEN["positions"] == tuple(POSITIONS)
    assert CHOSEN["attention"] == ATTENTION
    assert set(LowPassName.__args__) == set(LOW_PASSES)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cascade", "sentence"),
    [
        ("up", "cascade is 'up'; it must be straight or doubling, or rising scales such as 2,4"),
        ("", "cascade is ''; it must be"),
        ("4,2", "its scales must rise"),
        ("1,2", "its scales must rise from above 1"),
        ("2,2", "its scales must rise"),
        ("2,nan", "its scales must rise"),
        ("2,99", "its scales must rise"),
    ],
)
def test_a_cascade_rises(cascade: str, sentence: str) -> None:
    assert sentence in refusal(cascade=cascade)


def test_a_scale_below_one_and_a_start_at_the_data_are_refused() -> None:
    assert refusal(scale=0.5) == "scale is 0.5; it must lie in [1, 16]"
    assert refusal(start=0) == "start is 0; it must lie in [0.01, 1]"


def test_a_strength_may_be_a_curve_of_t() -> None:
    assert parse(Extrapolation, {"prompt": "a", "strength": "1:1.5,0:0.5"}).strength == "1:1.5,0:0.5"
    assert "alpha in [0, 2]" in refusal(strength="1:9")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_way_to_what_was_said(name: str) -> None:
    request = parse(Extrapolation, {"prompt": "a", "strength": "off", "steps": 5})
    made = with_preset(request, name)
    assert made.strength == "off"
    assert made.steps == 5
    for field, value in PRESETS[name].items():
        if field != "strength":
            assert getattr(made, field) == value


def test_the_presets_are_four_different_things() -> None:
    made = {identity(with_preset(Extrapolation(prompt="a"), name)) for name in PRESETS}
    assert set(PRESETS) == {"paper-lumina", "paper-flux", "release", "tuned"}
    assert len(made) == 4


FACTORS = PAPER_TABLES["imax_defaults"]


@pytest.mark.parametrize(
    ("preset", "model", "copies"),
    [("paper-lumina", "lumina_next_2k", 1.0), ("paper-flux", "flux1_dev", "auto")],
)
def test_the_papers_presets_have_its_factors(preset: str, model: str, copies: object) -> None:
    """I-Max, section 2.3: the base, the shift, the copies of the text, and the attention of Jin et al."""
    said = PRESETS[preset]
    factor = {"s": 1.0, "1.5*s": 1.5, "2.5*s": 2.5}
    assert BASES.get(str(said["positions"]), 1.0) == factor[FACTORS[model]["rope_base_factor"]]
    assert {"auto": 1.0, "1.5s": 1.5}[str(said["reshift"])] == factor[FACTORS[model]["time_shift_factor"]]
    assert said["text_copies"] == copies
    assert said["attention"] == "log"
    assert (said["strength"], said["start"], said["half_patch"]) == ("paper", 1.0, False)


def test_former_names_of_presets_open_as_they_did() -> None:
    assert with_preset(Extrapolation(prompt="a"), "ours") == with_preset(Extrapolation(prompt="a"), "tuned")
    before = with_preset(Extrapolation(prompt="a"), "paper")
    assert (before.attention, before.text_copies, before.reshift) == ("paper", "auto", "auto")
    assert before.positions == "per-frequency"
    with pytest.raises(ValueError, match="unknown preset 'mine'; choose one of paper-lumina, paper-flux"):
        preset_of("mine")


def test_a_resolved_extrapolation_leaves_nothing_open() -> None:
    open_fields = {name for name, field in Extrapolation.model_fields.items() if field.default is None}
    assert all(ResolvedExtrapolation.model_fields[name].is_required() for name in open_fields)
    for name, field in ResolvedExtrapolation.model_fields.items():
        if name in Extrapolation.model_fields:
            assert bounds_of(field) == bounds_of(Extrapolation.model_fields[name]), name
    for name in Resolved.model_fields:
        assert ResolvedExtrapolation.model_fields[name].annotation == Resolved.model_fields[name].annotation


def test_every_field_says_in_a_sentence_what_it_is() -> None:
    for name, field in ResolvedExtrapolation.model_fields.items():
        assert (field.description or Extrapolation.model_fields[name].description or "").endswith("."), name


def test_arms_differ_in_their_method_alone_and_the_requests_own_is_last() -> None:
    request = Extrapolation(prompt="a", method="hiflow", scale=3)
    arms = method_arms(request, COMPARED)
    assert list(arms) == [*COMPARED, "hiflow"]
    assert all(arm.model_copy(update={"method": "hiflow"}) == request for arm in arms.values())
    assert list(method_arms(request, ("hiflow", "direct"))) == ["direct", "hiflow"]


def test_a_request_survives_json_with_its_identity() -> None:
    request = parse(Extrapolation, {"prompt": "a", "cascade": "2, 4", "level": "auto", "text_copies": "2.5"})
    again = parse(Extrapolation, json.loads(json.dumps(request.model_dump(mode="json"))))
    assert again == request
    assert identity(again) == identity(request)
