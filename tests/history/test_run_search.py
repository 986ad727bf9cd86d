"""Searches of the history: words, settings with a sign, and one sentence for what no run can be asked."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sd3demo.errors import Refusal
from sd3demo.history.run_search import ALIASES, FIELDS, parse_search
from sd3demo.settings import bounds_of

RUN = {
    "prompt": "A red circle: above, a=b",
    "negative": "blurry dogs",
    "cfg": 4.5,
    "steps": 10,
    "solver": "heun",
    "seed": 7,
    "model": "tiny",
    "shift": 3.0,
}


@pytest.mark.parametrize(
    "text",
    [
        "", "red", "RED circle", "cfg>3", "cfg>=4.5", "cfg=4.5", "cfg:4.5", "cfg!=5", "steps<=10", "steps<11",
        "solver:heun", "solver=HEUN", "solver!=euler", "sampler:heun", "negative:dogs",
        'negative:"blurry dogs"',
        "model:tin", "red cfg>3 steps<=10 solver:heun", '"circle: above"', '"a=b"', "t5:on", "count:1",
        "num-inference-steps:10", "guidance_scale>4", '"', "Seed=7", "cfg_from:0",
    ],
)  # fmt: skip
def test_what_holds_is_found(text: str) -> None:
    assert parse_search(text).matches(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "blue", "cfg>4.5", "cfg<4.5", "steps>10", "solver:euler", "solver!=heun", "negative:cats",
        "red cfg<3",
        '"circle above"', "t5:zeros", "method:direct scale>1", "native_width>8", "half_patch:true",
    ],
)  # fmt: skip
def test_what_does_not_hold_is_not(text: str) -> None:
    assert not parse_search(text).matches(RUN)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cfgg>3", "unknown setting 'cfgg' in the search; nearest are cfg"),
        ("http://x", "unknown setting 'http' in the search"),
        ("cfg>", "cfg> has no value in the search; write one behind the sign, such as steps<=10"),
        ("cfg>many", "cfg is compared with 'many' in the search; give a number, such as cfg>3"),
        ("solver:heum", "solver is 'heum' in the search; it can be euler, midpoint, heun"),
        ("solver>heun", "solver is no number and cannot be > 'heun'; write solver:heun"),
        ("half_patch:perhaps", "half_patch is 'perhaps' in the search; it can be true or false"),
        ("is:lovely", "is:lovely is no search; is:favourite finds the favourites"),
    ],
)
def test_what_no_run_can_be_asked_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_search(f"red {text}")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_favourites_are_asked_for_beside_the_rest() -> None:
    found = parse_search("is:favourite red cfg>3")
    assert found.favourites
    assert found.matches(RUN)
    assert not parse_search("red").favourites


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if bounds_of(field)])
def test_every_number_can_be_searched_for(name: str) -> None:
    search = parse_search(f"{name}>=2")
    assert search.matches({"prompt": "", name: 2})
    assert not search.matches({"prompt": "", name: 1})


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_names_a_setting(alias: str) -> None:
    assert ALIASES[alias] in FIELDS
    assert alias not in FIELDS


@given(st.text(max_size=60))
def test_any_text_is_a_search_or_a_sentence(text: str) -> None:
    with contextlib.suppress(Refusal):
        assert parse_search(text).matches(RUN) in (True, False)
