"""Settings refuse what cannot be done with one sentence, and are the same request wherever they come from."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings import (
    LONGEST_PROMPT,
    Request,
    Resolved,
    bounds_of,
    choices_of,
    counted,
    identity,
    is_whole,
    parse,
)

BOUNDED = {name: bounds for name, field in Request.model_fields.items() if (bounds := bounds_of(field))}
CHOSEN = {name: names for name, field in Request.model_fields.items() if (names := choices_of(field))}


def refusal(**values: object) -> str:
    with pytest.raises(Refusal) as caught:
        parse(Request, {"prompt": "a circle"} | values)
    return str(caught.value)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("given", ["below", "above", "nan", "inf", "-inf", "many", ""])
def test_a_number_out_of_range_is_named_with_its_range(name: str, given: str) -> None:
    low, high = BOUNDED[name]
    value = {"below": f"{low - 1:.12g}", "above": f"{high + 1:.12g}"}.get(given, given)
    sentence = refusal(**{name: value})
    assert sentence.startswith(f"{name} is {value}; it must ")
    assert f"[{low:.12g}, {high:.12g}]" in sentence


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("end", [0, 1])
def test_both_ends_of_a_range_belong_to_it(name: str, end: int) -> None:
    bounds = BOUNDED[name]
    beside = {"cfg_from": {"cfg_to": 1.0}, "cfg_to": {"cfg_from": 0.0}}.get(name, {})
    assert getattr(parse(Request, {"prompt": "a", name: f"{bounds[end]:.12g}"} | beside), name) == bounds[end]


@pytest.mark.parametrize("name", [name for name in BOUNDED if is_whole(Request.model_fields[name])])
def test_a_count_is_a_whole_number(name: str) -> None:
    assert "it must be a whole number in" in refusal(**{name: "9.5"})


@pytest.mark.parametrize("name", [name for name in CHOSEN if name not in BOUNDED])
def test_an_unknown_choice_is_answered_with_all_of_them(name: str) -> None:
    assert refusal(**{name: "rk5"}) == f"unknown {name} 'rk5'; choose one of {', '.join(CHOSEN[name])}"


def test_the_choices_are_those_of_the_registries() -> None:
    assert CHOSEN["solver"] == tuple(SOLVERS)
    assert CHOSEN["schedule"] == tuple(CONVENTIONS)


def test_a_shift_is_a_number_or_auto() -> None:
    assert parse(Request, {"prompt": "a", "shift": "auto"}).shift == "auto"
    assert parse(Request, {"prompt": "a", "shift": "3"}).shift == 3
    assert refusal(shift="automatic").endswith("or be auto")


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("", "prompt is empty"),
        (" \n\t", "prompt is empty"),
        ("x" * (LONGEST_PROMPT + 1), "has 2,001 characters; at most 2,000"),
        ("a\0b", "control character U+0000"),
        ("a\x1b[2J", "control character U+001B"),
        ("\ud800", "control character U+D800"),
        (["a"], "prompt is a list"),
    ],
)
def test_a_text_that_cannot_be_a_prompt_is_refused(prompt: object, sentence: str) -> None:
    assert sentence in refusal(prompt=prompt)


@pytest.mark.parametrize("name", ["negative", "prompt_2", "prompt_3"])
def test_the_other_texts_may_be_empty_but_keep_the_rules(name: str) -> None:
    assert getattr(parse(Request, {"prompt": "a", name: ""}), name) == ""
    assert f"{name} has 2,001 characters" in refusal(**{name: "x" * 2001})


def test_guidance_acts_on_an_interval_that_is_not_empty() -> None:
    assert (
        refusal(cfg_from="0.8", cfg_to="0.2")
        == "cfg_from is 0.8 and cfg_to 0.2; cfg_from must not be the larger"
    )


def test_a_misspelt_setting_is_not_swallowed() -> None:
    assert refusal(setps="3").startswith("unknown setting 'setps'; choose one of prompt, ")


@pytest.mark.parametrize("name", ["steps", "cfg", "shift", "t5", "solver", "model", "no_such_setting"])
@pytest.mark.parametrize("value", ["x" * 100_000, "\x07\x1b[31m\n"])
def test_what_was_given_is_told_in_brief_and_without_control_characters(name: str, value: str) -> None:
    """A terminal would obey them, and nobody reads 100,000 letters."""
    sentence = refusal(**{"prompt": "p", name: value})
    assert name in sentence or sentence.startswith("unknown")
    assert len(sentence) < 600
    assert sentence.isprintable()


def test_a_missing_prompt_is_asked_for() -> None:
    with pytest.raises(Refusal, match="prompt is missing"):
        parse(Request, {})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Request(prompt="a").seed = 3  # type: ignore[misc]


@given(st.text(max_size=50).filter(lambda text: text.strip()), st.integers(0, 2**32 - 1), st.floats(1, 30))
def test_a_request_survives_json_with_its_identity(prompt: str, seed: int, cfg: float) -> None:
    try:
        request = parse(Request, {"prompt": prompt, "seed": seed, "cfg": cfg})
    except Refusal:
        return  # control characters, which the refusals above cover
    again = parse(Request, json.loads(json.dumps(request.model_dump(mode="json"))))
    assert again == request
    assert identity(again) == identity(request)


def test_requests_that_differ_have_identities_that_differ() -> None:
    fields = {
        "seed": 1,
        "steps": 3,
        "cfg": 2,
        "t5": "zeros",
        "negative": "b",
        "solver": "heun",
        "shift": "auto",
    }
    names = {identity(Request.model_validate({"prompt": "a", name: value})) for name, value in fields.items()}
    assert len(names | {identity(Request(prompt="a"))}) == len(fields) + 1


def test_an_identity_is_the_same_in_another_process() -> None:
    code = "from sd3demo.settings import *; print(identity(Request(prompt='a')))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == identity(Request(prompt="a"))


def test_a_resolved_request_leaves_nothing_open_and_keeps_every_bound() -> None:
    open_fields = {name for name, field in Request.model_fields.items() if field.default is None}
    assert all(Resolved.model_fields[name].is_required() for name in open_fields)
    assert {
        name: bounds_of(field) for name, field in Resolved.model_fields.items() if bounds_of(field)
    } == BOUNDED


def test_every_field_says_in_a_sentence_what_it_is() -> None:
    for name, field in Request.model_fields.items():
        assert (field.description or "").endswith("."), name


def test_a_field_that_was_emptied_is_called_empty() -> None:
    with pytest.raises(Refusal, match=r"^seed is empty; it must be a whole number in \[0, 4294967295\]$"):
        parse(Request, {"prompt": "a", "seed": None})


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1500, "1500 steps")]
)
def test_counts_are_told_as_people_tell_them(number: int, said: str) -> None:
    assert counted(number, "step") == said


@pytest.mark.parametrize(("t5", "mode"), [("on", "zeros"), ("empty", "zeros"), ("omit", "omit")])
def test_the_papers_unconditional_is_all_encoders_zeroed(t5: str, mode: str) -> None:
    """SD3, appendix B.3; what is left out of the prompt stays left out, so that both have one length."""
    from sd3demo.catalogue import CATALOGUE
    from sd3demo.settings import text_inputs

    spec = CATALOGUE["sd3-medium"]
    request = Request.model_validate({"prompt": "a", "negative": "b", "uncond": "zeros", "t5": t5})
    modes = {one.encoder: one.mode for one in text_inputs(request, spec, negative=True)}
    assert modes == {"clip_l": "zeros", "clip_g": "zeros", "t5": mode}
    conditional = text_inputs(request, spec)
    assert conditional == text_inputs(request.model_copy(update={"uncond": "encoded"}), spec)
    encoded = text_inputs(request.model_copy(update={"uncond": "encoded"}), spec, negative=True)
    assert {one.text for one in encoded} == {"b"}


def test_the_unconditional_is_encoded_unless_it_is_said_otherwise() -> None:
    """As diffusers has it, and as every receipt from before the setting was made."""
    assert Request(prompt="a").uncond == "encoded"
    assert identity(Request(prompt="a")) == identity(Request(prompt="a", uncond="encoded"))


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        ({}, []),
        ({"cfg": 1, "negative": "blurry"}, ["negative changes nothing here: CFG is off at scale 1"]),
        ({"cfg": 4, "negative": "blurry"}, []),
        ({"cfg": 1, "uncond": "zeros"}, ["uncond changes nothing here: CFG is off at scale 1"]),
        (
            {"negative": "blurry", "uncond": "zeros"},
            ["negative changes nothing here: Zeros stand in place of the negative text"],
        ),
        (
            {"t5": "zeros", "prompt_3": "a"},
            ["prompt_3 changes nothing here: T5 does not read the prompt now"],
        ),
        ({"prompt_3": "a"}, []),
        (
            {"schedule": "linear", "shift": 2},
            ["shift changes nothing here: The linear schedule is never shifted"],
        ),
        ({"skip_layers": "1"}, ["skip_layers changes nothing here: Skip-layer guidance is off at scale 0"]),
    ],
)
def test_what_is_given_and_changes_nothing_is_said(settings: dict[str, object], notes: list[str]) -> None:
    from sd3demo.catalogue import CATALOGUE
    from sd3demo.engine import Budget, plan

    request = Request.model_validate({"prompt": "a circle", "model": "sd3-medium", **settings})
    assert list(plan(request, CATALOGUE["sd3-medium"], Budget()).notes) == notes


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"skip_scale": 3}, "sd3-medium names no layers of its own to leave out; give skip_layers"),
        ({"skip_scale": 3, "skip_layers": "24"}, "skip_layers names 24; sd3-medium has the blocks 0 to 23"),
        ({"skip_scale": 3, "skip_layers": "1", "skip_from": 0.9, "skip_to": 0.5}, "skip_from must not be"),
    ],
)
def test_skip_layer_guidance_that_cannot_be_is_refused(settings: dict[str, object], sentence: str) -> None:
    from sd3demo.catalogue import CATALOGUE
    from sd3demo.engine import Budget, plan

    request = Request.model_validate({"prompt": "a circle", "model": "sd3-medium", **settings})
    with pytest.raises(Refusal, match=sentence):
        plan(request, CATALOGUE["sd3-medium"], Budget())


def test_skip_layer_guidance_takes_the_models_own_layers_and_counts_its_calls() -> None:
    from sd3demo.catalogue import CATALOGUE
    from sd3demo.engine import Budget, plan

    spec = CATALOGUE["sd3.5-medium"]
    request = Request(prompt="a", model=spec.name, skip_scale=2.8, skip_from=0, skip_to=1, steps=5)
    found = plan(request, spec, Budget())
    assert found.request.skip_layers == "7,8,9"
    assert found.flow_stages[0].skip_layers == (7, 8, 9)
    assert found.calls == 3 * 5
    assert plan(request.model_copy(update={"skip_scale": 0}), spec, Budget()).calls == 2 * 5


@pytest.mark.parametrize("text", ["a", "7,,8", "7;8", "-1", "7,8,"])
def test_layers_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(Refusal, match="give block numbers with commas between"):
        parse(Request, {"prompt": "a", "skip_layers": text})


def test_options_of_another_family_are_refused() -> None:
    from sd3demo.engine import Budget, plan
    from sd3demo.models.exact import EXACT

    with pytest.raises(Refusal, match="t5 is 'zeros'; exact has no such setting"):
        plan(Request(prompt="red", model="exact", t5="zeros"), EXACT, Budget())


@pytest.mark.parametrize(("seed", "count"), [(2**32 - 1, 2), (2**32 - 3, 4), (2**32 - 1, 16)])
def test_a_batch_whose_last_picture_has_no_seed_is_refused(seed: int, count: int) -> None:
    with pytest.raises(
        Refusal, match=rf"^seed is {seed} and count {count}; .* must not be above 4294967295: give"
    ):
        parse(Request, {"prompt": "a", "seed": seed, "count": count})
    assert parse(Request, {"prompt": "a", "seed": 2**32 - count, "count": count}).count == count
